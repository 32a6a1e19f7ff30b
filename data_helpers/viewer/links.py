"""Where else to look at an image: links and commands that open it in other viewers.

A viewer reads the image itself, so it must reach the address. A public ``https://`` address opens
everywhere. The address of the offline stand-in, ``http://127.0.0.1:...``, is known only to the
computer that it runs on, and a folder only to programs on that computer: each table says what
works there.
"""

from __future__ import annotations

import html
import json
import shlex
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .._formatting import as_html
from .._store.access import archive_in
from ..addresses import shareable
from ..errors import ImageNotFoundError, NotOmeZarrError
from ..multiscale import Multiscale
from ..sources import BUCKET, IMAGES, PUBLIC_ENDPOINTS
from .neuroglancer import state_of

VIZARR = "https://biongff.github.io/vizarr/"
VALIDATOR = "https://ome.github.io/ome-ngff-validator/"
NEUROGLANCER = "https://neuroglancer-demo.appspot.com/"
FIJI_MENU = "Plugins > BigDataViewer > OME ZARR"
NAMES = {
    "vizarr": "Vizarr",
    "neuroglancer": "Neuroglancer",
    "validator": "Validator",
    "napari": "napari",
    "fiji": "Fiji",
}
USES = {
    "vizarr": "look at it in the browser",
    "neuroglancer": "slice through volumes",
    "validator": "check and browse the metadata",
}

# What works, where that is not everything; most is for an image that has no public address.
ASKS = "the browser asks you to allow it (Chrome, Edge, perhaps Firefox) or refuses (Safari)"
REFUSES = "most browsers refuse this: a page from https:// may not read from http://"
SERVE_FIRST = "a web page cannot read a folder: `ome_zarr view` (of ome-zarr-py) serves it first"
UNPACK_FIRST = "reads no zipped image: unpack it first"
ZIP_SOURCE = "paste its address as a source, followed by"
HAS_NO_KEY = "has no key for this private bucket"
NEWER_COPY = "reads no version before 0.4, so this opens the newer copy beside it"
NEWER_ONLY = "reads no version before 0.4, and this image is older"
MISSING_CHANNEL = "if a channel is missing at first, zoom a little, and it comes"
UNTRIED = "not tried yet with an address on one's own computer"
REAL = "The public image with this id (real pixels, opens on any computer):"
SAME_COMPUTER = (
    "Only programs on the computer that runs this notebook reach this address, and only while its "
    "kernel runs: on Binder, in Colab or on a JupyterHub that is not the computer in front of you. "
    "The pages of Vizarr, Neuroglancer and the validator themselves need internet."
)


@dataclass(frozen=True)
class ViewerLinks:
    """Ways to open one OME-Zarr image; a notebook shows them as a table.

    Attributes
    ----------
    address : str
        Where the image is: an address to paste into any viewer, or a folder.
    links : dict of str to str
        For each viewer in the browser the link that opens the image. A viewer that cannot open it
        is left out.
    commands : dict of str to str
        For each program on your own computer the command or the menu that opens it.
    notes : dict of str to str
        For each viewer what works, where that is not everything everywhere.
    title : str
        What the image is; says "synthetic" where it is.
    advice : str
        What holds for all of these ways.
    public : ViewerLinks or None
        The same for the public copy, if the image itself is not public and a copy is known.
    """

    address: str
    links: dict[str, str]
    commands: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)
    title: str = ""
    advice: str = ""
    public: ViewerLinks | None = None

    def __repr__(self) -> str:
        ways = self.links | self.commands
        lines = [f"address: {self.address}"]
        for name in NAMES:
            note = f" ({self.notes[name]})" if name in self.notes else ""
            lines.append(f"{name}: {ways.get(name, 'no link')}{note}")
        lines += [self.advice] if self.advice else []
        lines += [REAL, repr(self.public)] if self.public else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = ' style="text-align:left"'
        rows = "".join(
            f"<tr><th{left}>{shown}</th><td{left}>{self._way(name)}</td></tr>"
            for name, shown in NAMES.items()
        )
        caption = as_html(": ".join(filter(None, [self.title, self.address])))
        advice = f"<p>{as_html(self.advice)}</p>" if self.advice else ""
        public = f"<p>{REAL}</p>{self.public._repr_html_()}" if self.public else ""
        return f"<table><caption>{caption}</caption><tbody>{rows}</tbody></table>{advice}{public}"

    def _way(self, viewer: str) -> str:
        """One cell of the table."""
        if viewer in self.links:
            shown = f"{_anchor(self.links[viewer])}: {USES[viewer]}"
        elif viewer == "napari" and viewer in self.commands:
            shown = f"<code>{as_html(self.commands[viewer])}</code>"
        else:
            shown = as_html(self.commands.get(viewer, "no link"))
        note = self.notes.get(viewer)
        return f"{shown}<br><small>{as_html(note)}</small>" if note else shown


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


def viewer_links(image: int | str | Multiscale) -> ViewerLinks:
    """Links and commands that open an image in other viewers; asks for nothing over the net.

    Parameters
    ----------
    image : int, str or Multiscale
        IDR id of one of the images in `IMAGES`, for the public image whichever source is in use;
        the address of any OME-Zarr image; or an image in hand, wherever it was opened from.

    Returns
    -------
    ViewerLinks
        The address in `links` is percent-encoded, as a link demands, without its login and query.
        For an image on this
        computer, `notes` and `advice` say what works, and `public` has the public copy.

    Raises
    ------
    ImageNotFoundError
        The id is not one of `IMAGES`.
    NotOmeZarrError
        This is neither an image, nor an id, nor an ``http://`` or ``https://`` address.
    """
    opened = image if isinstance(image, Multiscale) else None
    title = opened.title if opened else ""
    if opened and opened.url.startswith("s3://"):
        return _no_links(opened.url, title, HAS_NO_KEY)
    if opened and archive_in(opened.url):
        return _zip_links(opened, title)
    if opened and "://" not in opened.url:
        return _folder_links(opened.url, title)
    address = _address(opened.url if opened else str(image))
    image_id, newest = _registered(address)
    readable = newest or ("" if opened and opened.version < "0.4" else address)

    old = [] if readable == address else [NEWER_COPY if readable else NEWER_ONLY]
    said = [*old]
    query = urlencode({"source": address})
    links = {"vizarr": f"{VIZARR}?{query}"}
    if readable:
        state = state_of(readable, title or _last_part(readable), image_id or opened)
        links["neuroglancer"] = f"{NEUROGLANCER}#!{fragment_of(state)}"
        if len(state["layers"]) > 1:
            said.append(MISSING_CHANNEL)
    links["validator"] = f"{VALIDATOR}?{query}"
    notes = {"neuroglancer": "; ".join(said)} if said else {}
    notes |= {"napari": old[0]} if old else {}
    commands = {
        "napari": f"napari --plugin napari-ome-zarr {_quoted(readable or address)}",
        "fiji": f"{FIJI_MENU} > Open OME ZARR from S3... (from the MoBIE update site), then paste "
        "the address",
    }
    parts = urlsplit(address)
    here = _is_loopback(parts.hostname or "")
    if here or parts.scheme == "http":
        for viewer in links:
            known = f"; {notes[viewer]}" if viewer in notes else ""
            notes[viewer] = (ASKS if here else REFUSES) + known
    if here:
        works = "works on this computer, without internet too"
        notes |= {"napari": "; ".join([works, *old]), "fiji": UNTRIED}
    return ViewerLinks(
        address=address,
        links=links,
        commands=commands,
        notes=notes,
        title=title,
        advice=SAME_COMPUTER if here else "",
        public=viewer_links(image_id) if image_id and parts.scheme == "http" else None,
    )


def _address(text: str) -> str:
    """The address meant: that of a registered image if it is an id."""
    text = shareable(text.strip().rstrip("/"))
    address = public_address(text) if text.isdecimal() else text
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotOmeZarrError(
            f"{text} cannot be opened by a public viewer: give an IDR id, the image's https:// "
            "address, or the image itself (open_multiscale opens folders, too)."
        )
    return address


def _folder_links(folder: str, title: str) -> ViewerLinks:
    """What opens a local folder: programs on this computer only."""
    return ViewerLinks(
        address=folder,
        links={},
        commands={
            "napari": f"napari --plugin napari-ome-zarr {_quoted(folder)}",
            "fiji": f"{FIJI_MENU} > Open OME ZARR from the file system... (from the MoBIE update "
            "site)",
        },
        notes=dict.fromkeys(USES, SERVE_FIRST),
        title=title,
    )


def _no_links(address: str, title: str, why: str) -> ViewerLinks:
    """For an image that no other program can open as it is."""
    return ViewerLinks(
        address=address, links={}, commands={}, notes=dict.fromkeys(NAMES, why), title=title
    )


def _zip_links(image: Multiscale, title: str) -> ViewerLinks:
    """For an image in an archive, which only Neuroglancer reads."""
    links = _no_links(image.url, title, UNPACK_FIRST)
    if "://" in image.url:
        links.notes["neuroglancer"] = f"{ZIP_SOURCE} |zip:|zarr{image.metadata.zarr_format}:"
    return links


def fragment_of(state: dict[str, Any]) -> str:
    """JSON as the part of an address after the ``#!``."""
    return quote(json.dumps(state, separators=(",", ":")), safe="/:,;=()*!")


def _last_part(address: str) -> str:
    """What to call an image of which only the address is known."""
    return urlsplit(address).path.rsplit("/", 1)[-1] or "image"


def _registered(address: str) -> tuple[int | None, str]:
    """Id of the registered image that ends in such a key, and the newest copy beside it."""
    for image in IMAGES.values():
        keys = image.keys["endpoint"]
        for key in (*keys, *image.further):
            if address.endswith(f"/{BUCKET}/{key}"):
                newest = address if key in image.further else address.removesuffix(key) + keys[-1]
                return image.id, newest
    return None, ""


def _is_loopback(host: str) -> bool:
    """Whether a host name means the computer itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")


def _quoted(text: str) -> str:
    """Text as one word of a command: in double quotes, which Windows knows too, if these do."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _anchor(link: str) -> str:
    """A link that opens in a new tab and is shown by the site that it leads to."""
    site = urlsplit(link).hostname
    return f'<a href="{html.escape(link)}" target="_blank" rel="noopener">{site}</a>'
