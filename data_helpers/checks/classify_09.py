"""What the checks of notebook 09 say of a classifier, from scribbles to labels.

`check_09` makes checks of these. Each returns why an answer is right, or raises `NotYet`
with a hint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from skimage.measure import label as pieces_of

from .feedback import NotYet, a_kind, array_of, call, expect, is_lazy, same

LAMIN, DAPI = 0, 1
NUCLEUS, BACKGROUND = 1, 2
LEAST_F1 = 0.5


def scribbles(scribbles: Any, inside: np.ndarray, outside: np.ndarray) -> str:
    """Check the scribbles: 1 on nuclei, 2 beside them, 0 elsewhere."""
    found = array_of(scribbles, "scribbles")
    expect(
        found.shape == inside.shape,
        f"scribbles has shape {found.shape}, but the plane has {inside.shape}: one number for each "
        "pixel of the plane.",
    )
    expect(
        found.dtype != bool,
        "true and false are two values, but three are needed: 1, 2 and 0.",
    )
    expect(
        not (found[inside] == BACKGROUND).all() or not (found[outside] == NUCLEUS).all(),
        "nuclei and background are swapped: 1 belongs to inside, 2 to outside.",
    )
    expect(
        (found[inside] == NUCLEUS).all(),
        "not every stroke on a nucleus is 1: np.select([inside, outside], [1, 2]).",
    )
    expect(
        (found[outside] != 0).any(),
        "the background has no scribbles. Without examples of both, there's nothing to tell apart: "
        "2 where outside is true.",
    )
    expect((found[outside] == BACKGROUND).all(), "not every stroke beside the nuclei is 2.")
    rest = ~(inside | outside)
    expect(
        (found[rest] == 0).all(),
        "pixels that nobody drew on are marked, too. They have to be 0, or the forest learns your "
        "guesses.",
    )
    share = 1 - rest.mean()
    return f"{inside.sum()} pixels of nuclei and {outside.sum()} of background, {share:.0%} of it."


def forest(forest: Any, described: np.ndarray, scribbles: np.ndarray) -> str:
    """Check the forest: trained on the marked pixels, with their features."""
    expect(
        hasattr(forest, "predict_proba"),
        f"forest should be the trained forest, not {a_kind(forest)}: learner.fit(...) returns it.",
    )
    expect(
        hasattr(forest, "classes_"),
        "the forest isn't trained yet: forest = learner.fit(features, classes).",
    )
    expect(
        0 not in forest.classes_,
        "0 became a class of its own, but it means that nobody drew there: train only where "
        "scribbles > 0.",
    )
    expect(
        list(forest.classes_) == [NUCLEUS, BACKGROUND],
        f"the classes are {list(forest.classes_)[:4]}, not 1 and 2: the second argument is "
        "scribbles[marked].",
    )
    expect(
        forest.n_features_in_ == described.shape[-1],
        f"each pixel has {forest.n_features_in_} features here, but described has "
        f"{described.shape[-1]}: the first argument is described[marked].",
    )
    marked = scribbles > 0
    guessed = forest.predict(described[marked])
    swapped = np.mean(guessed == NUCLEUS + BACKGROUND - scribbles[marked])
    expect(
        swapped < 0.9,
        "the forest calls nuclei background: the classes are scribbles[marked], as they are.",
    )
    right = np.mean(guessed == scribbles[marked])
    expect(
        right > 0.97,
        f"only {right:.0%} of the marked pixels come out right. Do features and classes belong to "
        "the same pixels? Use one index, marked, for both.",
    )
    return f"{len(forest.estimators_)} trees learned from {marked.sum():,} marked pixels."


def honest(honest: Any, guess: np.ndarray, published: np.ndarray, trained_on: np.ndarray) -> str:
    """Check the score on a plane that the forest has never seen.

    `guess` has the class of each pixel, 1 or 2; `published` the labels of the same plane, and
    `trained_on` those of the plane with the scribbles.
    """
    expect(
        np.ndim(honest) == 0 and np.issubdtype(np.asarray(honest).dtype, np.number),
        f"honest should be one number, not {a_kind(honest)}: iou(found, published) returns one.",
    )
    found, true = guess == NUCLEUS, published > 0
    right = (found & true).sum() / (found | true).sum()
    close = functools.partial(np.isclose, float(honest))
    expect(
        not close(1) or close(right),
        "this is 1, the score on voxels that the forest was trained on. Compare guess with "
        "truth[100], where it saw nothing.",
    )
    expect(
        not close(true.mean()) or close(right),
        "every pixel of guess counts as nucleus, since background is 2 there and 2 > 0: compare "
        "guess == 1.",
    )
    other = guess == BACKGROUND
    expect(
        not close((other & true).sum() / (other | true).sum()) or close(right),
        "this scores the background: nuclei are guess == 1.",
    )
    expect(
        not close((found == true).mean()) or close(right),
        "this is the share of pixels that are right. Most of them are background, which any "
        "method finds, so it's high whatever you do. Use iou.",
    )
    there = trained_on > 0
    expect(
        not close((found & there).sum() / (found | there).sum()) or close(right),
        "guess is of plane 100, but these are the labels of plane 128: use truth[100].",
    )
    expect(close(right), "this isn't the IoU of guess == 1 and truth[100].")
    return f"{honest:.2f} on a plane that the forest never saw. That's a score to report."


def chances(chances: Any, pixels: da.Array, probability: Callable[[np.ndarray], np.ndarray]) -> str:
    """Check the lazy probability map: shape, laziness, overlap, and which class it is of."""
    found = call(chances, "chances", pixels)
    expect(
        is_lazy(found) or not isinstance(found, np.ndarray),
        "the map is computed already, all of it at once: leave out .compute().",
    )
    expect(isinstance(found, da.Array), f"chances should return a Dask array, not {a_kind(found)}.")
    expect(
        found.shape != pixels.shape,
        "the map still has a channel axis: tell Dask that it's gone, with drop_axis=0.",
    )
    expect(
        found.shape == pixels.shape[1:],
        f"the map has shape {found.shape}, not {pixels.shape[1:]}: one number for each voxel.",
    )
    expect(
        found.numblocks[0] > 1,
        "all planes are in one block, so nothing is saved: rechunk((2, 32, -1, -1)).",
    )
    expect(
        found.numblocks[1:] == (1, 1),
        "the planes are cut, too: -1 keeps y and x whole.",
    )
    cut = found.chunks[0][0]
    expect(cut >= 10, f"the first block has {cut} planes, fewer than the overlap: make it 32.")
    return _values(found, pixels, probability, cut)


def _values(
    found: da.Array, pixels: da.Array, probability: Callable[[np.ndarray], np.ndarray], cut: int
) -> str:
    """Compare the planes on both sides of the first cut with those of one larger block."""
    low = max(cut - 12, 0)
    right = probability(np.asarray(pixels[:, low : cut + 12].compute()))[
        cut - low - 1 : cut - low + 1
    ]
    planes = _computed(found[cut - 1 : cut + 1])
    alone = probability(np.asarray(pixels[:, cut : cut + 12].compute()))[0]
    darker = probability(pixels[:, cut - 10 : cut + 11].compute() / 65535)[10]
    expect(
        planes.shape == right.shape,
        f"a plane comes out as {planes.shape[1:]}, not {right.shape[1:]}: return what map_overlap "
        "returns.",
    )
    expect(
        planes.min() >= 0 and planes.max() <= 1,
        "these aren't probabilities: run probability on each block, not features.",
    )
    expect(
        not np.allclose(planes, 1 - right),
        "this is the probability of background: it's votes[:, 0] that belongs to nuclei.",
    )
    expect(
        not np.allclose(planes[1], darker) or np.allclose(darker, right[1]),
        "these pixels are fractions from 0 to 1, but the forest learned from whole numbers, so all "
        "looks dark to it: give it the same range as in training.",
    )
    expect(
        not np.allclose(planes[1], alone) or np.allclose(alone, right[1]),
        "each block sees nothing but itself, so there's a seam at every cut: da.map_overlap with "
        "depth=(0, 10, 0, 0).",
    )
    expect(
        np.mean(np.abs(planes - right) > 1e-4) < 1e-3,
        "the map differs at the cuts. Ten planes of overlap along z are needed, the second axis, "
        'and boundary="none".',
    )
    return f"a lazy map in {found.numblocks[0]} blocks, without a seam between them."


def _computed(lazy: da.Array) -> np.ndarray:
    try:
        return np.asarray(lazy.compute(scheduler="synchronous"))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:120]
        raise NotYet(
            f"computing a plane of it stopped with {type(error).__name__}: {first}. Does each "
            "block hold both channels, and does the call have drop_axis=0?"
        ) from None


def mine(mine: Any, pixels: da.Array, truth: np.ndarray) -> str:
    """Check a segmentation of the learner's own: labels in 3D, from the pixels, not too bad."""
    from ..scale_out import compare_labels

    labels = call(mine, "mine", pixels)
    expect(
        not is_lazy(labels),
        "mine returns something lazy: end it with .compute(), since a label needs all its voxels.",
    )
    found = array_of(labels, "what mine returns")
    expect(
        found.shape != pixels.shape,
        "both channels come back: labels have the axes z, y and x only.",
    )
    expect(
        found.shape == truth.shape,
        f"the labels have shape {found.shape}, but the stack has {truth.shape}.",
    )
    expect(found.dtype != bool, "this is a mask: number the nuclei, with split(mask).")
    expect(
        not any(same(found, pixels[channel].compute()) for channel in (LAMIN, DAPI)),
        "these are pixels, a channel of the image: return labels.",
    )
    expect(
        np.issubdtype(found.dtype, np.integer),
        f"labels are whole numbers, but these are {found.dtype}. Are they pixels or probabilities?",
    )
    expect(
        not same(found, truth),
        "these are the published labels themselves. A score against yourself is always 1: "
        "segment the pixels.",
    )
    expect(found.any(), "nothing was found: every voxel is 0. Is the threshold too high?")
    counts = compare_labels(found, truth)
    expect(
        counts["objects"] > 1,
        "there is one object only: number the nuclei with split(mask), and mind that the "
        "background is 0.",
    )
    expect(
        (found == 0).any(),
        "no voxel is 0, so the background counts as a nucleus, too: it has to be 0.",
    )
    expect(
        not _numbered_per_plane(found),
        "each plane was numbered by itself, so a nucleus has another number in every plane: label "
        "the whole stack at once.",
    )
    expect(
        counts["F1"] >= LEAST_F1,
        f"F1 is {counts['F1']:.2f}: {counts['matched']} of {counts['true objects']} nuclei are "
        f"matched, and {counts['false']} objects are false. Begin with watershed, and change one "
        "thing.",
    )
    matched, nuclei = counts["matched"], counts["true objects"]
    return f"{matched} of {nuclei} nuclei are matched, F1 {counts['F1']:.2f}."


def _numbered_per_plane(labels: np.ndarray) -> bool:
    """Tell whether label 1 is many pieces that are in nearly every plane with a label."""
    planes = [plane for plane in labels if plane.any()]
    with_1 = np.mean([(plane == 1).any() for plane in planes])
    return bool(with_1 > 0.9) and int(pieces_of(labels == 1).max()) > 1
