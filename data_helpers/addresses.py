"""What a person pasted, and what is meant by it; nothing here asks for anything.

Two kinds of text lead to an image. A *key* is literal: the path below ``s3://``, the path of a
level, the name of a label image. A *URL* is encoded: in it ``%20`` means a space. So a key is
percent-encoded when it is joined to a URL, and only then; a path on this computer is never encoded.

A URL may hold a secret, such as a signature in its query (``?...``). The query is sent with every
key below the URL, and is left out wherever the address is shown.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import os
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from ._formatting import without_secrets
from .errors import NotOmeZarrError

DOCUMENTS = (".zattrs", ".zarray", ".zgroup", ".zmetadata", "zarr.json")
"""Names of metadata documents: an address that ends in one means the folder that holds it."""

GIVE = "give an IDR id, an https:// or s3:// address, or a local folder"

_ALLOWED = "%/:@!$&'()*+,;=~"  # may stand in the path of a URL as they are
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_ONE_SLASH = re.compile(r"(https?|s3):/(?=[^/])", re.IGNORECASE)  # what Path makes of ://
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_HOST = re.compile(r"[\w.:%-]+")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?")
_SIGNATURE = re.compile(r"[?&](X-Amz-[\w-]+|AWSAccessKeyId|Signature|sig|token)=", re.IGNORECASE)
_VIEWER_KEYS = ("source", "image_url")  # Vizarr and the validator; Avivator
_PIPELINE = re.compile(r"/?\|zarr[23]?:/?$")  # what Neuroglancer puts behind an address
_ZARR_SOURCE = re.compile(
    r"""zarr[23]?://([^"'|]+)|((?:https?|s3)(?:\+https?)?://[^"'|]+)(?:\|zip:[^"'|]*)?\|zarr"""
)
_RENEWED = re.compile(  # what S3, Google, Azure and CloudFront write into a signed URL
    r"(x-amz|x-goog)-|.*(signature|token)|expires$|awsaccesskeyid$|googleaccessid$|key-pair-id$"
    r"|policy$|(si|sig|se|sp|spr|sr|srt|ss|st|sv|skoid|sktid|skt|ske|sks|skv)$",
    re.IGNORECASE,
)


class Meant(NamedTuple):
    """What is meant by what a person pasted.

    Attributes
    ----------
    kind : str
        "id", "key" (of an S3 bucket), "url" or "folder".
    value : str
        The id; the bucket and key, literally; the URL, encoded; or the path of the folder.
    """

    kind: Literal["id", "key", "url", "folder"]
    value: str


@dataclass(frozen=True, repr=False)
class Secret:
    """The parts of a URL that are sent, but never shown: a login and the query."""

    login: str = ""
    query: str = ""

    def put_into(self, url: str) -> str:
        """The whole URL, as it is sent."""
        if self.login:
            scheme, _, rest = url.partition("://")
            url = f"{scheme}://{self.login}@{rest}"
        return f"{url}?{self.query}" if self.query else url

    @property
    def mark(self) -> str:
        """What tells apart two addresses that look the same; says nothing about the secret."""
        if not (self.login or self.query):
            return ""
        return "?" + hashlib.sha256(f"{self.login}?{self.query}".encode()).hexdigest()[:16]

    @property
    def lasting_mark(self) -> str:
        """As `mark`, of the query without signatures, which are made anew for the same image."""
        parts = sorted(filter(None, self.query.split("&")))
        lasting = [part for part in parts if not _RENEWED.match(part.partition("=")[0])]
        return Secret("", "&".join(lasting)).mark


def understand(pasted: object, windows: bool = os.name == "nt") -> Meant:
    """What is meant by what a person pasted.

    Parameters
    ----------
    pasted : object
        An IDR id, an address in any of the usual spellings, a link of a viewer, or a path.
    windows : bool
        Whether paths are those of Windows.

    Raises
    ------
    NotOmeZarrError
        It is none of these; the sentence says what to paste.
    """
    text = _text_of(pasted)
    if not isinstance(pasted, os.PathLike) and _NUMBER.fullmatch(text):
        return _number(text)
    text = _ONE_SLASH.sub(r"\1://", text)
    if re.match(r"file:/", text, re.IGNORECASE):
        return _folder(_path_of_file_url(text), windows)
    if not (scheme := _SCHEME.match(text)):
        return _folder(text, windows)
    text = _PIPELINE.sub("", text)
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name in ("zarr", "zarr2", "zarr3"):  # a source as Neuroglancer spells it
        return understand(rest, windows)
    if name == "s3" and ("@" in rest.partition("/")[0] or _SIGNATURE.search(rest)):
        raise NotOmeZarrError(
            f"{_before_query(text)} was given with a login or a signature, which an s3:// address "
            "has no place for: give key and secret, or a token, in storage_options, or the signed "
            "https:// address."
        )
    if name == "s3":
        return Meant("key", _without_document(_not_empty(rest.strip("/"), text)))
    if name not in ("http", "https", "s3+http", "s3+https"):
        rest = re.sub(".*@", "", rest.partition("?")[0])
        hint = f" (as https://storage.googleapis.com/{rest})" if name == "gs" else ""
        raise NotOmeZarrError(f"{_before_query(text)} cannot be opened: {GIVE}{hint}.")
    if shown := _image_in_link(text):
        return understand(shown, windows)
    url, secret = split_secret(tidy_url(text))
    return Meant("url", secret.put_into(_without_document(url)))


def tidy_url(url: str) -> str:
    """A URL in one spelling: encoded, scheme and host in lower case, no fragment, no last slash.

    What is encoded stays as it is. What cannot stand in a URL, such as a space, is encoded.
    """
    parts = _split(_alone(url))
    try:
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError as error:  # UnicodeError is one, too
        raise _not_valid(url, error) from None
    if not _HOST.fullmatch(host):
        raise NotOmeZarrError(f"{_before_query(url)} names no server that can be: {GIVE}.")
    login, at, _ = parts.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.removeprefix("s3+")
    path = _encoded_url_part(_without_dots(parts.path).rstrip("/"))
    query = f"?{_encoded_url_part(parts.query, '?')}" if parts.query else ""
    return f"{scheme}://{login}{at}{host}{port}{path}{query}"


def without_scheme(path: str) -> bool:
    """Whether what looks like a path may be an address of the web without its ``https://``."""
    if re.match(r"(//)?[^/@]*:[^/@]*@", path):  # a login
        return True
    host, slash, _ = path.partition("/")
    name = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d+)?|localhost:\d+"
    return bool(slash and re.fullmatch(name, host)) and not host.endswith((".zarr", ".zip"))


def is_remote(address: str) -> bool:
    """Whether an address is a URL of the web; else it is a path."""
    return address.startswith(("http://", "https://"))


def encoded(key: str) -> str:
    """A literal key as it stands in a URL."""
    return quote(key, safe="/~")


def join(address: str, key: str) -> str:
    """The address of a literal key below a URL (without its query) or a folder."""
    if not key:
        return address
    return f"{address}/{encoded(key) if is_remote(address) else key}"


def parent(address: str) -> tuple[str, str] | None:
    """The folder above an address, and the literal name below it; None for the topmost one."""
    above, slash, name = address.rpartition("/")
    if not slash or not above or above.endswith(":/"):
        return None
    return above, unquote(name) if is_remote(address) else name


def last_part(address: str) -> str:
    """What to call an image of which only the address is known."""
    name = address.rsplit("/", 1)[-1]
    return unquote(name) if is_remote(address) else name


def split_secret(address: str) -> tuple[str, Secret]:
    """An address as it may be shown, and what it keeps to itself."""
    if not is_remote(address) or not {"?", "@"} & set(address):
        return address, Secret()
    address, _, query = address.partition("?")
    scheme, _, rest = address.partition("://")
    netloc, slash, path = rest.partition("/")
    login, _, host = netloc.rpartition("@")
    return f"{scheme}://{host}{slash}{path}", Secret(login, query)


def shareable(url: str) -> str:
    """A URL as it may be passed on, as it was written, without its login and query."""
    return re.sub(r"\?[^?/]*=.*$", "", _without_login(_alone(url)))


def _text_of(pasted: object) -> str:
    """The text of an id or an address; anything else is answered as what it is."""
    if isinstance(pasted, float) and pasted.is_integer():
        return str(pasted)
    number = isinstance(pasted, numbers.Integral) and not isinstance(pasted, bool)
    if not number and not isinstance(pasted, str | os.PathLike):
        shown = "" if pasted is None else f" ({' '.join(repr(pasted).split())[:60]})"
        raise NotOmeZarrError(f"{type(pasted).__name__}{shown} is not an image: {GIVE}.")
    if isinstance(pasted, os.PathLike):
        return str(pasted)
    text = str(pasted).strip()
    if len(text) > 1 and text[0] + text[-1] in ('""', "''", "<>"):  # of "copy as path", of e-mails
        text = text[1:-1].strip()
    if not text:
        raise NotOmeZarrError(f"The address is empty: {GIVE}.")
    if any(letter < " " for letter in text):
        raise _not_alone(text, "a line break or the like")
    return text


def _alone(url: str) -> str:
    """The same URL, if no other one follows."""
    if re.search(r"\s[a-z][\w+.-]*://", url):
        raise _not_alone(url, "another address")
    return url


def _not_alone(text: str, what: str) -> NotOmeZarrError:
    shown = without_secrets(text)[:100]
    return NotOmeZarrError(f"{shown!r} holds {what}: paste one address, alone.")


def _number(text: str) -> Meant:
    """An IDR id, which is a whole number."""
    if text.isdecimal():
        return Meant("id", text)
    whole, _, decimals = text.replace(",", ".").partition(".")
    advice = f"give {whole}" if whole.isdecimal() and not decimals.strip("0") else GIVE
    raise NotOmeZarrError(f"{text} is a number, but no IDR id, which is whole: {advice}.")


def _folder(path: str, windows: bool) -> Meant:
    """A folder of this computer."""
    if windows:
        path = path.replace("\\", "/")
    elif _DRIVE.match(path) or path.startswith("\\\\"):
        raise NotOmeZarrError(
            f"{path} is a path of Windows, but this Python does not run on Windows: give the path "
            "as this computer names it (in WSL, C:\\ is /mnt/c/)."
        )
    top = "/" if path.startswith("/") else ""
    return Meant("folder", _without_document(path.rstrip("/")) or top or ".")


def _path_of_file_url(url: str) -> str:
    """The path that a ``file:`` URL names; it is encoded, as any URL."""
    parts = _split(url)
    path = unquote(parts.path)
    if not (path or parts.netloc):
        raise NotOmeZarrError(f"{url} names no folder: {GIVE}.")
    if re.match(r"/[A-Za-z][:|](/|$)", path):  # file:///C:/data
        return f"{path[1]}:{path[3:]}"
    if parts.netloc.lower() in ("", "localhost"):
        return path
    if parts.netloc in ("~", ".", "..") or _DRIVE.match(f"{parts.netloc}/"):
        return f"{unquote(parts.netloc)}{path}"
    return f"//{parts.netloc}{path}"  # a share of a Windows server


def _image_in_link(url: str) -> str:
    """The image that a link of a viewer shows; empty if it is no such link."""
    parts = _split(url)
    if parts.fragment.startswith("!"):
        found = _zarr_sources(unquote(parts.fragment[1:]))
        viewer = "Neuroglancer"
        if not found:
            raise NotOmeZarrError(
                f"This link of Neuroglancer ({_before_query(url)}) names no Zarr image; paste the "
                "address of the image itself."
            )
    else:
        values = parse_qs(parts.query)
        found = [value for key in _VIEWER_KEYS for value in values.get(key, [])]
        found = [value for value in found if _SCHEME.match(value)]
        viewer = "a viewer"
    images = {image.rstrip("/"): None for image in found}  # each once, in their order
    apart = [one for one in images if not any(one.startswith(f"{other}/") for other in images)]
    if len(apart) > 1:
        raise NotOmeZarrError(
            f"This link of {viewer} shows {len(apart)} images; paste the address of one of them: "
            f"{', '.join(_before_query(one) for one in apart)}."
        )
    return apart[0] if apart else ""


def _zarr_sources(state: str) -> list[str]:
    """Addresses of the Zarr images in the state of Neuroglancer, which is JSON or nearly so."""
    try:
        state = json.dumps(json.loads(state), ensure_ascii=False)  # without \\u and the like
    except (ValueError, RecursionError):
        pass
    return [old or new for old, new in _ZARR_SOURCE.findall(state)]


def _without_document(address: str) -> str:
    """The address of the folder, where that of a metadata document in it is given."""
    above, _, name = address.rpartition("/")
    return above.rstrip("/") if name in DOCUMENTS else address


def _not_empty(key: str, text: str) -> str:
    if not key:
        raise NotOmeZarrError(f"{text} names no bucket: give s3://bucket/key.")
    return key


def _encoded_url_part(text: str, more: str = "") -> str:
    """Encode what cannot stand in a URL; ``%20`` and the like stay as they are."""
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", quote(text, safe=_ALLOWED + more))


def _without_dots(path: str) -> str:
    """A path of a URL without ``.`` and ``..``, which every browser takes out."""
    if "/." not in path:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[1:] = parts[1:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _split(url: str) -> SplitResult:
    """The parts of a URL."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise _not_valid(url, error) from None


def _not_valid(url: str, error: ValueError) -> NotOmeZarrError:
    why = "" if "@" in url else f" ({error})"  # it may quote a part of the password
    return NotOmeZarrError(f"{_before_query(url)} is not a valid address{why}.")


def _before_query(url: str) -> str:
    """A URL, valid or not, without anything that may be secret."""
    return re.split(r"[?#]", _without_login(url), maxsplit=1)[0]


def _without_login(url: str) -> str:
    """A URL, valid or not; where a password holds a "/" or a "#", it ends later than in a URL."""
    login = re.match(r"(.*?//)[^/@:]*:(?!\d+/)[^@]*@", url) or re.match(r"(.*?//)[^/?#]*@", url)
    return f"{login[1]}{url[login.end() :]}" if login else url
