"""The calls of cellpose and stardist with the real packages, on small networks of random weights.

These packages weigh gigabytes, so CI has neither, and these tests are NOT RUN there. To run them,
install either beside pytest, in an environment of its own (docs/tools/learned.md), and there::

    python -m pytest --noconftest tests/test_learned_real.py

A network of random weights finds nothing sensible: only calls, shapes and types are tested.
"""

import inspect
from importlib.util import find_spec

import numpy as np
import pytest
from support import learned as recorded

from data_helpers.hand_over.learned import segment_with_cellpose, segment_with_stardist


def needs(*packages):
    """Skip, and say aloud what is not tested because of it."""
    absent = [package for package in packages if find_spec(package) is None]
    reason = f"NOT RUN: {' and '.join(absent)} not installed, see docs/tools/learned.md"
    return pytest.mark.skipif(bool(absent), reason=reason)


@pytest.fixture
def stack():
    """A stack of noise with a bright ball in it: synthetic."""
    z, y, x = np.ogrid[:3, :210, :253]
    ball = (z - 1) ** 2 * 100 + (y - 100) ** 2 + (x - 120) ** 2 < 900
    noise = np.random.default_rng(0).integers(0, 200, ball.shape)
    return (noise + 2000 * ball).astype(np.uint16)


def signature(function):
    return str(inspect.signature(function))


@needs("cellpose")
def test_cellpose_takes_what_was_recorded():
    from cellpose.models import MODEL_NAMES, CellposeModel

    assert signature(CellposeModel.__init__) == recorded.CELLPOSE_INIT
    assert signature(CellposeModel.eval) == recorded.CELLPOSE_EVAL
    assert "cpsam_v2" in MODEL_NAMES


@needs("cellpose")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("planes", [1, 3])
def test_cellpose_runs_on_a_small_network(stack, planes, tmp_path, monkeypatch):
    import torch
    from cellpose import vit
    from segment_anything.build_sam import _build_sam

    # The same architecture, but 2 layers of 64 instead of 24 of 1024.
    small = {"vit_l": lambda checkpoint: _build_sam(64, 2, 2, [0], checkpoint)}
    monkeypatch.setattr(vit, "sam_model_registry", small)
    torch.manual_seed(0)
    torch.save(vit.CPSAM().state_dict(), tmp_path / "cpsam_v2")
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    labels = segment_with_cellpose(stack[:planes])
    assert labels.shape == (planes, 210, 253) and labels.dtype == np.int32


@needs("stardist", "tensorflow")
def test_stardist_takes_what_was_recorded():
    from csbdeep.utils import normalize
    from stardist.matching import group_matching_labels
    from stardist.models import StarDist2D

    assert list(inspect.signature(StarDist2D.__init__).parameters) == [
        "self", "config", "name", "basedir"
    ]  # fmt: skip
    assert signature(StarDist2D.predict_instances) == recorded.STARDIST_PREDICT
    assert signature(group_matching_labels) == recorded.GROUP
    assert list(inspect.signature(normalize).parameters)[:3] == ["x", "pmin", "pmax"]


@needs("stardist", "tensorflow")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("planes", [1, 3])
def test_stardist_runs_on_a_small_network(stack, planes, tmp_path, monkeypatch):
    from stardist.models import Config2D, StarDist2D

    settings = Config2D(
        n_rays=8, unet_n_depth=1, unet_n_filter_base=4, net_conv_after_unet=8, grid=(2, 2)
    )
    made = StarDist2D(settings, name="2D_versatile_fluo", basedir=str(tmp_path))
    made.keras_model.save_weights(str(tmp_path / "2D_versatile_fluo" / "weights_best.weights.h5"))
    monkeypatch.setenv("STARDIST_LOCAL_MODELS_PATH", str(tmp_path))
    labels = segment_with_stardist(stack[:planes])
    assert labels.shape == (planes, 210, 253) and labels.dtype == np.int32
