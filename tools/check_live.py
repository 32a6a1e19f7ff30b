"""Read a little of every image from every public endpoint, and compare it with the stand-in.

    python3 run.py python tools/check_live.py               the public endpoints
    python3 run.py python tools/check_live.py https://...   another endpoint

For each image and each further copy of it: the metadata, one plane of the smallest level, and the
labels where there are some (a few hundred kilobytes in all). The stand-in must have the same levels
with the same shapes, chunks and data types, so that what learners see offline stays true. Ends with
1 if an image cannot be read at the first endpoint or looks different there. Only reported are the
other endpoints, since learners do not need them, and a further copy that is laid out otherwise.
"""

from __future__ import annotations

import sys

import numpy as np

from data_helpers import IMAGES, Multiscale, OmeZarrError, open_multiscale
from data_helpers.sources import BUCKET, PUBLIC_ENDPOINTS

HAVE_LABELS = {6001247}


def layout(image: Multiscale) -> list[tuple[object, ...]]:
    """Return path, shape, chunk shape and data type of every level."""
    arrays = zip(image.paths, image.stored, strict=True)
    return [(path, array.shape, array.chunks, array.dtype) for path, array in arrays]


def copies() -> list[int | str]:
    """Return every image by its id, and its further copies by their addresses."""
    further = [f"s3://{BUCKET}/{key}" for image in IMAGES.values() for key in image.further]
    return [*IMAGES, *further]


def look_at(copy: int | str, source: str) -> str:
    """Return what was seen of an image at a source; raises OmeZarrError if it cannot be read."""
    image = open_multiscale(copy, source=source)
    array = image.stored[-1]
    plane = np.asarray(array[tuple(length // 2 for length in array.shape[:-2])])
    seen = f"{len(image.paths)} levels, OME-Zarr {image.version}, plane mean {plane.mean():.1f}"
    if copy in HAVE_LABELS:
        if not image.labels:
            raise OmeZarrError("its labels are gone.")
        labels = image.label(image.labels[0]).stored[-1]
        middle = np.asarray(labels[tuple(length // 2 for length in labels.shape[:-2])])
        seen += f", {len(np.unique(middle)) - 1} labels in the middle plane"
    return seen


def drift(copy: int | str, source: str) -> str:
    """Return how the image at a source differs from the stand-in's, or nothing."""
    theirs, ours = (layout(open_multiscale(copy, source=s)) for s in (source, "offline"))
    pairs = zip(theirs, ours, strict=False)
    changed = [f"{there} but offline {here}" for there, here in pairs if there != here]
    if len(theirs) != len(ours):
        changed.append(f"{len(theirs)} levels but offline {len(ours)}")
    return "; ".join(changed)


def main(sources: list[str]) -> int:
    failures = 0
    for position, source in enumerate(sources):
        for copy in copies():
            try:
                seen, different = look_at(copy, source), drift(copy, source)
                failed = bool(different) and copy in IMAGES  # of further copies less is known
                verdict = f"differs: {different}" if different else f"ok, {seen}"
            except OmeZarrError as error:
                failed, verdict = True, f"cannot be read: {error}"
            failures += position == 0 and failed
            print(f"{source} {copy}: {verdict}", flush=True)
    print(f"{failures} of {len(copies())} copies of images fail at {sources[0]}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PUBLIC_ENDPOINTS)))
