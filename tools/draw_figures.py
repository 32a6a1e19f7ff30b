"""Draw the explaining figures of notebooks 01 and 05 and of the site's first page, as SVG.

Run it after a change here: ``python tools/draw_figures.py`` writes notebooks/figures/*.svg anew,
and ``python tools/draw_figures.py --check`` fails if a stored figure differs. Every figure has a
white background of its own, so that it can be read on a dark page too.
"""

import sys
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "figures"
INK, QUIET, LINE, PAPER = "#1f2328", "#57606a", "#8c959f", "#f3f4f6"
BLUE, PALE_BLUE, MAGENTA, PALE_MAGENTA = "#1f5fa8", "#e3eefb", "#a8005f", "#fbe3f1"
NUCLEI = [  # x, y, radius as parts of the picture, and brightness
    (0.18, 0.22, 0.10, 215),
    (0.44, 0.16, 0.08, 150),
    (0.75, 0.24, 0.12, 235),
    (0.24, 0.58, 0.13, 180),
    (0.55, 0.50, 0.10, 240),
    (0.86, 0.60, 0.09, 140),
    (0.42, 0.85, 0.09, 200),
    (0.70, 0.80, 0.11, 165),
]


def text(x, y, words, size=14, color=INK, weight="normal", anchor="start", mono=False):
    family = "ui-monospace, Menlo, Consolas, monospace" if mono else "Helvetica, Arial, sans-serif"
    return (
        f'<text x="{x}" y="{y}" font-family="{family}" font-size="{size}" fill="{color}" '
        f'font-weight="{weight}" text-anchor="{anchor}" xml:space="preserve">{escape(words)}</text>'
    )


def box(x, y, width, height, fill="none", stroke=LINE, thick=1.0, round_=0):
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="{thick}"/>'
    )


def line(x1, y1, x2, y2, color=LINE, thick=1.0):
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="{thick}"/>'
    )


def arrow(x1, x2, y, color=QUIET):
    """A level arrow from x1 to x2."""
    back = -10 if x2 > x1 else 10
    head = f"M{x2} {y} {x2 + back} {y - 5} {x2 + back} {y + 5}z"
    return line(x1, y, x2 + back / 2, y, color, 2) + f'<path d="{head}" fill="{color}"/>'


def nuclei(x, y, width, height):
    """A picture of a few bright nuclei on black."""
    parts = [box(x, y, width, height, fill="#111111", stroke="none")]
    for across, down, radius, grey in NUCLEI:
        parts.append(
            f'<ellipse cx="{x + across * width:.1f}" cy="{y + down * height:.1f}" '
            f'rx="{radius * width:.1f}" ry="{0.85 * radius * height:.1f}" '
            f'fill="rgb({grey},{grey},{grey})"/>'
        )
    return "".join(parts)


def grid(x, y, width, height, columns, rows, color="#ffffff", thick=1.5):
    """Lines that cut a rectangle into equal tiles."""
    parts = [box(x, y, width, height, stroke=color, thick=thick)]
    for n in range(1, columns):
        at = round(x + n * width / columns, 1)
        parts.append(line(at, y, at, y + height, color, thick))
    for n in range(1, rows):
        at = round(y + n * height / rows, 1)
        parts.append(line(x, at, x + width, at, color, thick))
    return "".join(parts)


def tile(x, y, width, height, columns, rows, column, row):
    """A magenta frame round one tile of a grid."""
    w, h = width / columns, height / rows
    return box(round(x + column * w, 1), round(y + row * h, 1), w, h, stroke=MAGENTA, thick=4)


def ome_zarr():
    """What an OME-Zarr image consists of: readable text, and chunks of pixels."""
    rows = [
        ("image.zarr/", "", ""),
        ("   .zattrs", '{"multiscales": [...], "omero": {...}}', "json"),
        ("   0/.zarray", '{"shape": [...], "chunks": [...], ...}', "json"),
        ("   0/0.0.0.0.0", "02 01 21 02 a8 c3 01 ...", "chunk"),
        ("   0/0.0.0.0.1", "02 01 21 02 a8 c3 01 ...", "chunk"),
        ("   ...", "one object for every chunk", ""),
        ("   1/.zarray", '{"shape": [...], "chunks": [...], ...}', "json"),
        ("   ...", "the same picture, half as wide and half as high", ""),
        ("   labels/...", "segmented objects, stored in the same way", ""),
    ]
    parts = [
        text(20, 34, "The image", weight="bold", size=16),
        nuclei(20, 50, 200, 170),
        grid(20, 50, 200, 170, 2, 2),
        tile(20, 50, 200, 170, 2, 2, 1, 0),
        text(20, 244, "cut into tiles, the chunks", color=QUIET),
        arrow(232, 268, 135),
        text(284, 34, "How it is stored", weight="bold", size=16),
    ]
    for number, (key, content, kind) in enumerate(rows):
        y = 68 + 27 * number
        fill, color = {
            "json": (PALE_BLUE, BLUE),
            "chunk": (PALE_MAGENTA, MAGENTA),
        }.get(kind, ("none", QUIET))
        if kind:
            parts.append(box(432, y - 18, 338, 24, fill=fill, stroke="none", round_=4))
        parts.append(text(284, y, key, mono=True, size=13))
        if content:
            parts.append(text(440, y, content, mono=bool(kind), size=13, color=color))
    parts += [
        box(284, 306, 16, 16, fill=PALE_BLUE, stroke=BLUE),
        text(308, 319, "metadata: JSON text, for people and programs", color=BLUE),
        box(284, 332, 16, 16, fill=PALE_MAGENTA, stroke=MAGENTA),
        text(308, 345, "chunks: compressed pixels, for programs only", color=MAGENTA),
    ]
    return 790, 364, "What an OME-Zarr image consists of", parts


def zarr():
    """What Zarr does: cut an array into chunks and store each under its number."""
    values = [(7 * row + 5 * column + row * column) % 10 for row in range(4) for column in range(6)]
    parts = [text(20, 34, "An array, 4 × 6", weight="bold", size=16)]
    for number, value in enumerate(values):
        row, column = divmod(number, 6)
        inside = row < 2 and column >= 4
        parts.append(
            box(
                20 + 34 * column,
                50 + 34 * row,
                34,
                34,
                PALE_MAGENTA if inside else PAPER,
                "#d0d7de",
            )
        )
        parts.append(text(37 + 34 * column, 73 + 34 * row, str(value), mono=True, anchor="middle"))
    parts += [
        grid(20, 50, 204, 136, 3, 2, color=INK, thick=2),
        tile(20, 50, 204, 136, 3, 2, 2, 0),
        text(20, 212, "six chunks of 2 × 2", color=QUIET),
        arrow(238, 282, 84),
        text(296, 34, "One chunk", weight="bold", size=16),
        text(296, 76, " ".join(str(values[n]) for n in (4, 5, 10, 11)), mono=True, size=16),
        text(296, 98, "its numbers in a row,", color=QUIET),
        text(296, 116, "then compressed", color=QUIET),
        arrow(442, 486, 84),
        text(500, 34, "The store: keys and bytes", weight="bold", size=16),
    ]
    keys = [".zarray", "0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    for number, key in enumerate(keys):
        y = 68 + 26 * number
        kind = BLUE if number == 0 else MAGENTA if key == "0.2" else QUIET
        fill = PALE_BLUE if number == 0 else PALE_MAGENTA if key == "0.2" else PAPER
        content = '{"shape": [4, 6], "chunks": [2, 2]}' if number == 0 else "bytes"
        parts.append(text(500, y, key, mono=True, size=13))
        parts.append(box(572, y - 17, 290, 22, fill=fill, stroke="none", round_=4))
        parts.append(text(580, y, content, mono=True, size=12, color=kind))
    parts.append(
        text(20, 262, "Row 0, column 2 of the grid of chunks is stored under the key 0.2:")
    )
    parts.append(text(20, 282, "to read this corner, a program fetches one key and no other."))
    return 880, 302, "What Zarr does with an array", parts


def multi_resolution():
    """The same picture at several resolutions, all cut into chunks of one size."""
    levels = [
        (20, 300, 4, "level 0", "100 %", "16 chunks"),
        (370, 150, 2, "level 1", "25 %", "4 chunks"),
        (570, 75, 1, "level 2", "6 %", "1 chunk"),
    ]
    parts = [text(20, 34, "One picture, three levels, chunks of one size", weight="bold", size=16)]
    for (x, side, tiles, name, bytes_, chunks), (column, row) in zip(
        levels, [(2, 1), (1, 0), (0, 0)], strict=True
    ):
        parts += [
            nuclei(x, 54, side, side),
            grid(x, 54, side, side, tiles, tiles),
            tile(x, 54, side, side, tiles, tiles, column, row),
            text(x, 54 + side + 24, name, weight="bold"),
            text(x, 54 + side + 44, f"{bytes_} of the bytes", color=QUIET),
            text(x, 54 + side + 62, chunks, color=QUIET),
        ]
    parts += [
        text(370, 330, "Each level is half as wide and half as high as the one before.", size=14),
        text(370, 352, "Zoomed out, we read level 2; zoomed in, a part of level 0.", size=14),
        box(370, 370, 16, 16, stroke=MAGENTA, thick=4),
        text(396, 383, "one chunk: the same bytes at every level,", color=MAGENTA),
        text(396, 403, "and ever finer detail of a smaller part", color=MAGENTA),
    ]
    return 830, 440, "What multi-resolution means", parts


def object_storage():
    """A file system beside an object store."""
    tree = ["disk/", "   images/", "      embryo.tif", "      notes.txt", "   results/"]
    keys = [
        "zarr/v0.1/6001247.zarr/.zattrs",
        "zarr/v0.1/6001247.zarr/0/.zarray",
        "zarr/v0.1/6001247.zarr/0/0.0.0.0.0",
        "zarr/v0.1/6001247.zarr/0/0.0.1.0.0",
        "zarr/v0.1/6001247.zarr/0/0.0.2.0.0",
    ]
    parts = [
        text(20, 34, "A file system", weight="bold", size=16),
        box(20, 50, 250, 150, fill=PAPER),
        *[text(34, 78 + 26 * n, words, mono=True, size=13) for n, words in enumerate(tree)],
        text(20, 228, "folders inside folders, on one computer", color=QUIET),
        text(20, 250, "open, seek, change a byte, rename", color=QUIET),
        line(296, 24, 296, 256),
        text(322, 34, "Object storage", weight="bold", size=16),
        box(322, 88, 120, 74, fill="#ffffff", stroke=INK, thick=2, round_=6),
        text(382, 130, "your kernel", anchor="middle"),
        arrow(452, 558, 104, BLUE),
        text(505, 94, "GET key", anchor="middle", color=BLUE, size=13),
        arrow(562, 456, 148, MAGENTA),
        text(507, 138, "bytes", anchor="middle", color=MAGENTA, size=13),
        box(572, 50, 318, 150, fill=PAPER),
        text(584, 44, "bucket: idr", weight="bold", size=13, color=QUIET),
        *[text(584, 78 + 26 * n, words, mono=True, size=12) for n, words in enumerate(keys)],
        text(
            322,
            228,
            "a long flat list of keys, reached over HTTP by many readers at once",
            color=QUIET,
        ),
        text(
            322,
            250,
            "each object is put or deleted as a whole; a slash in a key is only a character",
            color=QUIET,
        ),
    ]
    return 910, 272, "A file system and an object store", parts


def shard():
    """Sixteen chunks as sixteen objects, and as one object with an index."""

    def chunks(x, y, gap):
        """A 4 by 4 grid of chunks; the sixth one is asked for."""
        side = 32
        return [
            box(
                x + column * (side + gap),
                y + row * (side + gap),
                side,
                side,
                fill=PALE_MAGENTA if (row, column) == (1, 1) else PALE_BLUE,
                stroke=MAGENTA if (row, column) == (1, 1) else BLUE,
                thick=2,
            )
            for row, column in [*places, (1, 1)]  # last, so that its frame lies on top
        ]

    places = [(row, column) for row in range(4) for column in range(4) if (row, column) != (1, 1)]
    parts = [
        text(20, 34, "16 chunks, 16 objects", weight="bold", size=16),
        *chunks(40, 56, 14),
        text(20, 262, "read one chunk: 1 request", color=MAGENTA),
        text(20, 286, "read all: 16 requests", color=QUIET),
        line(300, 24, 300, 292),
        text(330, 34, "16 chunks, 1 object: a shard", weight="bold", size=16),
        box(342, 50, 236, 186, fill=PAPER, stroke=INK, thick=2, round_=6),
        *chunks(360, 66, 0),
        box(360, 204, 200, 22, fill="#ffffff", stroke=MAGENTA, thick=2),
        text(370, 220, "index: where each chunk begins", size=13),
        text(500, 118, "a range", color=MAGENTA, size=13),
        text(500, 136, "of its bytes", color=MAGENTA, size=13),
        text(330, 262, "read one chunk: 2 requests, the index, then the range", color=MAGENTA),
        text(330, 286, "read all: 1 request", color=QUIET),
    ]
    return 720, 306, "Chunks as objects, and in a shard", parts


def waits():
    """Six requests at once and one after another, drawn to be read as a small picture."""
    bars = [(24 + 58 * number, 256) for number in range(6)]  # one after another
    together = [(24, 62 + 22 * number) for number in range(6)]
    parts = [
        text(24, 44, "all at once", weight="bold", size=34, color=BLUE),
        *[box(x, y, 54, 18, fill=PALE_BLUE, stroke=BLUE, thick=2) for x, y in together],
        text(100, 140, "1 wait", size=34, color=BLUE),
        text(24, 238, "one by one: 6 waits", weight="bold", size=34, color=MAGENTA),
        *[box(x, y, 54, 18, fill=PALE_MAGENTA, stroke=MAGENTA, thick=2) for x, y in bars],
    ]
    return 400, 300, "Six requests at once, and one after another", parts


FIGURES = {
    "waits.svg": waits,
    "ome_zarr.svg": ome_zarr,
    "zarr.svg": zarr,
    "multi_resolution.svg": multi_resolution,
    "object_storage.svg": object_storage,
    "shard.svg": shard,
}


def draw(name):
    """Return a figure as SVG text."""
    width, height, title, parts = FIGURES[name]()
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            box(0, 0, width, height, fill="#ffffff", stroke="none"),
            *parts,
            "</svg>\n",
        ]
    )


def main(arguments):
    for name in FIGURES:
        path, svg = FOLDER / name, draw(name)
        if "--check" in arguments:
            if not path.is_file() or path.read_text(encoding="utf-8") != svg:
                raise SystemExit(f"{name} differs: run python tools/draw_figures.py")
        else:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(svg, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
