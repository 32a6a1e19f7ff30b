"""What can go wrong, one sentence each: what was asked, where, what was found, what to try."""

from __future__ import annotations

from ._formatting import sentence


class OmeZarrError(Exception):
    """The parent of every error this package raises on purpose.

    In a notebook it is shown as its one sentence, without the stack of library calls behind it.
    The sentence is plain text, and holds no login and no query of an address.

    Attributes
    ----------
    status : int or None
        HTTP status of the answer that caused it, such as 403, if an answer did.
    """

    status: int | None = None

    def __init__(self, *said: object) -> None:
        super().__init__(*(sentence(each) if isinstance(each, str) else each for each in said))

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this method before it draws a traceback. Dask appends the
        # traceback of another process to the sentence, as further lines.
        return [f"{type(self).__name__}: {self}".partition("\n")[0]]


class OmeZarrWarning(UserWarning):
    """The image can be read, but there is something about it that you should know."""


class ImageNotFoundError(OmeZarrError):
    """No image with this id at the source in use, or no such well or field on a plate."""


class LevelNotFoundError(OmeZarrError, IndexError):
    """The image has no such resolution level."""


class NoLabelsError(OmeZarrError):
    """The image has no label image, or not the one asked for."""


class NotOmeZarrError(OmeZarrError):
    """There is no OME-Zarr image at this address, but something else or nothing at all."""


class EndpointUnreachableError(OmeZarrError):
    """The endpoint gives no usable answer."""


class AccessDeniedError(OmeZarrError):
    """The endpoint answers "forbidden"."""


class CredentialsError(AccessDeniedError):
    """The endpoint refuses a key, a secret, a token or a profile, or none was found."""


class MalformedMetadataError(OmeZarrError):
    """The metadata are there but cannot be understood."""


class ChunkError(OmeZarrError):
    """A chunk exists but cannot be fetched or decoded."""


class MirrorError(ChunkError):
    """The mirror in use does not hold this chunk or image, or holds it damaged."""


class TooLargeError(OmeZarrError):
    """More pixels were asked for than fit in memory."""


class OutsideImageError(OmeZarrError, IndexError):
    """The requested position is outside the image, or along an axis that it does not have."""


class NotDrawableError(OmeZarrError, ValueError):
    """No picture can be made of this; the message says what can be drawn."""


class ToolError(OmeZarrError):
    """A tool of other people isn't installed, can't start, or failed; the message says what to do.

    Such tools are CellProfiler (`measure_plate`) and napari (`open_in_napari`).
    """
