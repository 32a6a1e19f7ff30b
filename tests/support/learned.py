"""Cellpose and stardist as stand-ins with the recorded signatures of the real packages.

The real ones weigh gigabytes, so CI does not install them. A stand-in function takes exactly the
arguments that the real one took when it was recorded, notes them, and answers with plain
thresholds. tests/test_learned_real.py compares what is recorded here with the real packages, where
they are.
"""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
from scipy import ndimage

VERSIONS = {"cellpose": "4.2.1.1", "stardist": "0.9.2", "csbdeep": "0.8.2"}
CELLPOSE_INIT = (
    "(self, gpu=False, pretrained_model='cpsam_v2', model_type=None, diam_mean=None, device=None, "
    "nchan=None, use_bfloat16=True)"
)
CELLPOSE_EVAL = (
    "(self, x, batch_size=8, resample=True, channels=None, channel_axis=None, z_axis=None, "
    "normalize=True, rescale=None, diameter=None, flow_threshold=0.4, cellprob_threshold=0.0, "
    "do_3D=False, anisotropy=None, flow3D_smooth=0, stitch_threshold=0.0, min_size=15, "
    "max_size_fraction=0.4, niter=None, augment=False, tile_overlap=0.1, bsize=None, "
    "compute_masks=True, progress=None)"
)
STARDIST_INIT = "(self, config=None, name=None, basedir='.')"  # its default is a long Config2D
STARDIST_PREDICT = (
    "(self, img, axes=None, normalizer=None, sparse=True, prob_thresh=None, nms_thresh=None, "
    "scale=None, n_tiles=None, show_tile_progress=True, verbose=False, return_labels=True, "
    "predict_kwargs=None, nms_kwargs=None, overlap_label=None, return_predict=False)"
)
GROUP = "(ys, thresh=1e-10, criterion='iou')"
NORMALIZE = "(x, pmin=3, pmax=99.8, axis=None, clip=False, eps=1e-20, dtype=None)"


def taking(signature, answer):
    """A function of this signature that calls `answer` with a namespace of its arguments."""
    names = {}
    exec(f"def made{signature}:\n    return answer(Given(**locals()))", _names(answer), names)
    return names["made"]


def _names(answer):
    return {"answer": answer, "Given": SimpleNamespace}


def plain(stack):
    """Labels of everything brighter than the middle of all values."""
    return ndimage.label(stack > (int(stack.max()) + int(stack.min())) / 2)[0]


def install(monkeypatch, package, found=None):
    """Let `import` find the stand-in of a package; return the list of all calls.

    Parameters
    ----------
    package : {"cellpose", "stardist"}
    found : str, optional
        Its version; the recorded one if left out.
    """
    calls = []

    def noting(name, answer):
        def noted(given):
            calls.append((name, given))
            return answer(given)

        return noted

    made = _cellpose(noting) if package == "cellpose" else _stardist(noting)
    for name, contents in made.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    version = found or VERSIONS[package]
    monkeypatch.setattr("data_helpers.hand_over.learned.version", lambda name: version)
    return calls


def _cellpose(noting):
    def masks(given):
        labels = plain(given.x).astype("uint16").squeeze()  # as the real one does
        return labels, [None] * 3, None

    model = type(
        "CellposeModel",
        (),
        {
            "__init__": taking(CELLPOSE_INIT, noting("load", lambda given: None)),
            "eval": taking(CELLPOSE_EVAL, noting("eval", masks)),
        },
    )
    return {"cellpose": {"__path__": []}, "cellpose.models": {"CellposeModel": model}}


def _stardist(noting):
    model = type(
        "StarDist2D",
        (),
        {
            "__init__": taking(STARDIST_INIT, noting("load", lambda given: None)),
            "predict_instances": taking(
                STARDIST_PREDICT, noting("predict", lambda given: (plain(given.img), {}))
            ),
        },
    )

    def grouped(given):
        if len(given.ys) < 2:
            raise ValueError("'ys' must have 2 or more entries")  # as the real one does
        return np.asarray(given.ys, np.int32)

    scaled = noting("normalize", lambda given: np.asarray(given.x, np.float32))
    return {
        "stardist": {"__path__": []},
        "stardist.models": {"StarDist2D": model},
        "stardist.matching": {"group_matching_labels": taking(GROUP, noting("group", grouped))},
        "csbdeep": {"__path__": []},
        "csbdeep.utils": {"normalize": taking(NORMALIZE, scaled)},
    }
