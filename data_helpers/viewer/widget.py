"""The viewer as a widget: the browser says what it wants to see, the kernel sends tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from .._display.pixels import EXACT
from .._formatting import one_line
from ..errors import OmeZarrError
from ..multiscale import Multiscale
from . import page_source
from .contrast import contrast
from .facts import facts_of
from .find import find
from .label_paint import Drawn
from .latest_tasks import LatestTaskQueue, Task, Wanted
from .scene import TILE, Look, Scene
from .sides import side_views
from .start import link_to
from .tiles import ChunkCache, NotWantedError

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_TILES = 400
"""More tiles than this are not taken from one message; a large screen shows about 60."""

MOST_AHEAD = 4
"""Planes that a playing page may ask for in advance."""

_chunks = ChunkCache()


class Viewer(anywidget.AnyWidget):
    """An image to pan and zoom. Made by `view`.

    Attributes
    ----------
    facts : dict
        What the browser needs to know: title, levels, channels, scale.
    overview : bytes
        The first picture, which is sent along and so shows before any tile.
    selection : int or None
        The label that was clicked last, and is highlighted. Set it to highlight another one: its
        number, or a row of a table that is indexed by label or has a column ``label``.
    chosen : str
        The same for the browser, whose numbers are float64.
    """

    _esm = page_source.script()
    _css = page_source.style()
    facts = traitlets.Dict().tag(sync=True)
    overview = traitlets.Bytes().tag(sync=True)
    selection = traitlets.Any(None, allow_none=True)
    chosen = traitlets.Unicode("").tag(sync=True)

    def __init__(self, scene: Scene, height: int, start: dict[str, Any] | None = None) -> None:
        self._scene = scene
        self._tasks = LatestTaskQueue()
        super().__init__(facts=facts_of(scene, height, start or {}), overview=scene.overview)
        self.on_msg(self._on_message)

    def __repr__(self) -> str:
        return f"Viewer of {self._scene.image.title}: run this cell to pan and zoom"

    def close(self) -> None:
        """Take the viewer off the page."""
        self._tasks.close()
        super().close()

    @traitlets.validate("selection")
    def _valid_selection(self, proposal: Any) -> int | None:
        return _label_of(proposal["value"])

    @traitlets.observe("selection")
    def _selected(self, change: Any) -> None:
        self.chosen = str(change["new"] or "")

    def _on_message(self, _: object, message: Any, buffers: object) -> None:
        """Note what the browser wants now; whatever it wanted before is forgotten."""
        with contextlib.suppress(KeyError, TypeError, ValueError, IndexError, AttributeError):
            slot, look = str(message["view"]), self._look(message["look"])
            if message["kind"] == "view":
                self._tasks.submit(slot, list(self._tile_tasks(message, look)))
            elif message["kind"] == "contrast":
                self._tasks.submit(f"{slot} contrast", [self._contrast_task(message, look)])
            elif message["kind"] == "value":
                self._tasks.submit(f"{slot} value", [self._value_task(message, look)])
            elif message["kind"] == "sides":
                self._tasks.submit(f"{slot} sides", [self._sides_task(message, look)])
            elif message["kind"] == "link":
                self._answer({"view": slot} | link_to(self._scene, look, message["start"]))
            elif message["kind"] == "find":
                self._tasks.submit(f"{slot} pick", [self._find_task(message, look)])
            elif message["kind"] in ("pick", "about"):
                self._tasks.submit(f"{slot} pick", [self._pick_task(message, look)])

    def _look(self, asked: dict[str, Any]) -> Look:
        """What to show, kept within what there is."""
        sizes, bands = self._scene.sizes, self._scene.bands
        known = [n for n, channel in enumerate(asked["channels"]) if 0 <= channel[0] < len(bands)]
        channels = [asked["channels"][n] for n in known]
        gammas, colors = asked.get("gammas"), asked.get("colors")
        return Look(
            t=min(max(int(asked["t"]), 0), sizes.get("t", 1) - 1),
            z=min(max(int(asked["z"]), 0), sizes.get("z", 1) - 1),
            channels=tuple((int(c), float(low), float(high)) for c, low, high in channels),
            gammas=tuple(min(max(float(gammas[n]), 0.05), 20) for n in known) if gammas else (),
            colors=tuple(str(colors[n]) for n in known) if colors else (),
            labels=bool(asked["labels"]),
            exact=bool(asked["exact"]),
            drawn=_drawn(asked.get("drawn") or {}),
            chosen=int(asked.get("chosen") or 0),
            project=max(int(asked.get("project") or 0), 0),
        )

    def _tile_tasks(self, message: dict[str, Any], look: Look) -> Iterator[Task]:
        number = int(message["level"])
        level = self._scene.levels[number]
        answer = {"kind": "tile", "look": message["key"], "level": number}
        for ty, tx in message["tiles"][:MOST_TILES]:
            if 0 <= ty * TILE < level.height and 0 <= tx * TILE < level.width:
                yield self._tile_task(answer | {"ty": ty, "tx": tx}, number, ty, tx, look)
        for plane in message.get("ahead", ())[:MOST_AHEAD]:
            there = {"tiles": plane["tiles"], "key": plane["key"], "level": number}
            yield from self._tile_tasks(there, self._look(plane["look"]))

    def _tile_task(self, answer: dict[str, Any], level: int, ty: int, tx: int, look: Look) -> Task:
        def serve(wanted: Wanted) -> None:
            try:
                tile = self._scene.tile(level, ty, tx, look, wanted)
            except NotWantedError:
                return
            except Exception as error:
                self._answer(answer | {"error": _sentence(error)})
            else:
                self._answer(answer | {"type": "image/png" if look.exact else "image/jpeg"}, tile)

        return serve

    def _contrast_task(self, message: dict[str, Any], look: Look) -> Task:
        level = int(message["level"])
        box = [float(end) for end in message["box"]]

        def serve(wanted: Wanted) -> None:
            # What fails here fails as a tile too, and the tile says why.
            with contextlib.suppress(Exception):
                channels = contrast(self._scene, level, box, look, wanted)
                said = {"kind": "contrast", "view": message["view"], "number": message["number"]}
                self._answer(said | {"channels": channels})

        return serve

    def _value_task(self, message: dict[str, Any], look: Look) -> Task:
        level, y, x = int(message["level"]), float(message["y"]), float(message["x"])

        def serve(wanted: Wanted) -> None:
            with contextlib.suppress(Exception):
                text = self._scene.values(level, y, x, look, wanted)
                self._answer({"kind": "value", "view": message["view"], "text": text})

        return serve

    def _sides_task(self, message: dict[str, Any], look: Look) -> Task:
        level, every = int(message["level"]), max(int(message["every"]), 1)
        y, x = float(message["y"]), float(message["x"])

        def serve(wanted: Wanted) -> None:
            said = {"kind": "sides", "view": message["view"], "number": message["number"]}
            try:
                pictures = side_views(self._scene, level, every, y, x, look, wanted)
            except NotWantedError:
                return
            except Exception as error:
                self._answer(said | {"error": _sentence(error)})
            else:
                self._answer(said, *pictures)

        return serve

    def _pick_task(self, message: dict[str, Any], look: Look) -> Task:
        """Answer a click; or, as "about", say what is known of a label in another plane."""
        y, x = float(message["y"]), float(message["x"])
        known = int(message["label"]) if message["kind"] == "about" else 0
        level = int(message.get("level") or 0)

        def serve(wanted: Wanted) -> None:
            label = known
            try:
                if known:
                    text = self._scene.about(known, y, x, look, wanted)
                else:
                    label, text = self._scene.pick(y, x, look, wanted, level)
            except NotWantedError:
                return
            except Exception as error:
                text = _sentence(error)
            shown = label if abs(label) < EXACT else str(label)  # the page's numbers are float64
            self._answer({"kind": "picked", "view": message["view"], "label": shown, "text": text})
            if not known:
                self.selection = label or None

        return serve

    def _find_task(self, message: dict[str, Any], look: Look) -> Task:
        """Say where a label is that was selected in Python."""

        def serve(wanted: Wanted) -> None:
            place = None
            try:
                place, text = find(self._scene, int(message["label"]), look, wanted)
            except NotWantedError:
                return
            except Exception as error:
                text = _sentence(error)
            said = {"kind": "found", "view": message["view"], "label": str(message["label"])}
            self._answer(said | {"place": place, "text": text})

        return serve

    def _answer(self, content: dict[str, Any], *buffers: bytes) -> None:
        """Send to the browser; any thread may, since the kernel has one thread for sending.

        When the widget was closed or the kernel is about to end, nobody is there to listen.
        """
        if self.comm is not None:
            with contextlib.suppress(Exception):
                self.send(content, list(buffers))


def _drawn(asked: Any) -> Drawn:
    """How the page wants the labels drawn."""
    fill = min(max(float(asked.get("fill", 0)), 0), 1)
    return Drawn(fill, bool(asked.get("each")), bool(asked.get("alone")))


def _label_of(selection: Any) -> int | None:
    """The number of a label, given as such or as a row of a table."""
    if selection is None:
        return None
    if hasattr(selection, "index") and hasattr(selection, "name"):  # a row: a pandas Series
        selection = selection["label"] if "label" in selection.index else selection.name
    try:
        return int(selection) or None
    except (TypeError, ValueError):
        raise traitlets.TraitError(
            f"selection is the number of a label, or a row of a table, not {selection!r}"
        ) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OmeZarrError):
        return str(error)
    return f"This part of the image cannot be shown ({type(error).__name__}: {one_line(error)})."


def view(
    image: Multiscale,
    *,
    labels: bool | str | Multiscale | None = None,
    table: DataFrame | None = None,
    height: int = 480,
    start: dict[str, Any] | None = None,
) -> Viewer:
    """Look at an image of any size: drag to move, scroll to zoom, sliders for t, z and contrast.

    Reads a coarse level at once (some 100 kB). From then on only the chunks under the visible tiles
    are read, at the level that fits the screen.

    Parameters
    ----------
    image : Multiscale
        The image, its axes in any order; a label image will do. Of axes other than t, c, z, y, x
        the first place is shown. Pixels that are NaN or infinite are blue, of complex ones the
        magnitude is shown, and a colour picture is shown in its colours: see `show_plane`.
    labels : bool, str or Multiscale, optional
        A label image to outline: True for the first one of the image, its name, or a label image
        that is open already. None if left out.
    table : pandas.DataFrame, optional
        Measured values, indexed by label or with a column ``label``: a click on a label shows its
        row. Without a table, area and mean intensity are measured in the plane that is shown.
    height : int
        Height of the picture, in screen pixels.
    start : dict, optional
        The place, plane, channels and contrast to begin with, as *Copy as code* writes it:
        ``{"t": 0, "z": 128, "y": 90, "x": 150, "zoom": 2, "channels": {0: [10, 900]}}``. See
        `checked_start`.

    Returns
    -------
    Viewer
        A widget; as the last line of a cell it shows itself.

    Raises
    ------
    NoLabelsError
        There is no such label image.
    TypeError
        `image` is not a `Multiscale`.
    ValueError
        `start` names something that there is not.
    """
    if not isinstance(image, Multiscale):
        raise TypeError(f"view() shows what open_multiscale() returns, not {type(image).__name__}")
    found: Multiscale | None = None
    if isinstance(labels, Multiscale):
        found = labels
    elif isinstance(labels, str):
        found = image.label(labels)
    elif labels:
        found = image.label()
    elif labels is None and image.parent:  # a label image: outline its own labels
        found = image
    return Viewer(Scene(image, found, table, _chunks), max(int(height), 120), start)
