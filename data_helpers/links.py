"""Where else to look at an image: addresses that open it in public viewers.

A viewer runs in a browser, on another computer or in another program, so it needs the *public*
address of an image, whichever source this kernel reads from.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from .errors import ImageNotFoundError, NotOmeZarrError
from .sources import BUCKET, IMAGES, PUBLIC_ENDPOINTS

VIZARR = "https://biongff.github.io/vizarr/"
VALIDATOR = "https://ome.github.io/ome-ngff-validator/"
NEUROGLANCER = "https://neuroglancer-demo.appspot.com/"
FIJI_MENU = "Plugins > BigDataViewer > OME ZARR > Open OME ZARR from S3..."


@dataclass(frozen=True)
class ViewerLinks:
    """Ways to open one public OME-Zarr image; a notebook shows them as a table.

    Attributes
    ----------
    address : str
        Public address of the image, to paste into any viewer.
    links : dict of str to str
        For each viewer in the browser the link that opens the image.
    commands : dict of str to str
        For each program on your own computer the command or the menu that opens it.
    """

    address: str
    links: dict[str, str]
    commands: dict[str, str]

    def __repr__(self) -> str:
        ways = {"address": self.address, **self.links, **self.commands}
        return "\n".join(f"{name}: {way}" for name, way in ways.items())

    def _repr_html_(self) -> str:
        rows = [
            ("Vizarr", f"{_anchor(self.links['vizarr'])}: look at it in the browser"),
            ("Neuroglancer", f"{_anchor(self.links['neuroglancer'])}: slice through volumes"),
            ("Validator", f"{_anchor(self.links['validator'])}: check and browse the metadata"),
            ("napari", f"<code>{html.escape(self.commands['napari'])}</code>"),
            ("Fiji", html.escape(self.commands["fiji"])),
        ]
        left = ' style="text-align:left"'
        body = "".join(f"<tr><th{left}>{name}</th><td{left}>{way}</td></tr>" for name, way in rows)
        return f"<table><caption>{html.escape(self.address)}</caption><tbody>{body}</tbody></table>"


def public_address(image_id: int | str) -> str:
    """Public address of a registered image: its newest copy at the first public endpoint.

    Parameters
    ----------
    image_id : int or str
        IDR id of one of the images in `IMAGES`.

    Returns
    -------
    str
        An ``https://`` address; the copy is OME-Zarr 0.4, which every viewer here reads.

    Raises
    ------
    ImageNotFoundError
        The image is not one of `IMAGES`.
    """
    image = IMAGES.get(int(image_id))
    if image is None:
        raise ImageNotFoundError(
            f"Image {image_id} is not registered; give one of {', '.join(map(str, IMAGES))}, or "
            "the public https:// address of an image."
        )
    name, endpoint = next(iter(PUBLIC_ENDPOINTS.items()))
    return f"{endpoint}/{BUCKET}/{image.keys[name][-1]}"


def viewer_links(image: int | str) -> ViewerLinks:
    """Links and commands that open an image in public viewers; asks for nothing over the net.

    Parameters
    ----------
    image : int or str
        IDR id of one of the images in `IMAGES`, or the public ``https://`` address of any
        OME-Zarr image.

    Returns
    -------
    ViewerLinks
        The address in `links` is percent-encoded, as a link demands.

    Raises
    ------
    ImageNotFoundError
        The id is not one of `IMAGES`.
    NotOmeZarrError
        This is neither an id nor an ``http://`` or ``https://`` address.
    """
    text = str(image).strip().rstrip("/")
    address = public_address(text) if text.isdecimal() else text
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotOmeZarrError(
            f"{image} cannot be opened by a public viewer: give an IDR id or the image's "
            "https:// address."
        )
    query = urlencode({"source": address})
    name = parts.path.rsplit("/", 1)[-1] or "image"
    state = {"layers": [{"source": f"zarr://{address}", "name": name}]}
    return ViewerLinks(
        address=address,
        links={
            "vizarr": f"{VIZARR}?{query}",
            "neuroglancer": f"{NEUROGLANCER}#!{quote(json.dumps(state, separators=(',', ':')))}",
            "validator": f"{VALIDATOR}?{query}",
        },
        commands={
            "napari": f'napari --plugin napari-ome-zarr "{address}"',
            "fiji": f"{FIJI_MENU} (from the MoBIE update site), then paste the address",
        },
    )


def _anchor(link: str) -> str:
    """A link that opens in a new tab and is shown by the site that it leads to."""
    site = urlsplit(link).hostname
    return f'<a href="{html.escape(link)}" target="_blank" rel="noopener">{site}</a>'
