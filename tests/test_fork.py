"""A child that was forked after its parent had read: it reads, and Dask can be told to compute."""

import os

import pytest
from support.images import noise, write_v2

FORKED = """
import json, os, sys
import dask
from concurrent.futures import ThreadPoolExecutor
from data_helpers import open_multiscale

image = open_multiscale(sys.argv[1], cache="off")
level = image.levels[0]
level.compute(), (level + 1).sum().compute()  # now Dask has threads, and Zarr has its loop


def pool():
    with dask.config.set(pool=ThreadPoolExecutor(2)):
        return (level + 1).sum().compute()


WAYS = {
    "stored": lambda: image.stored[0][:].sum(),
    "opened anew": lambda: open_multiscale(sys.argv[1], cache="off").stored[0][:].sum(),
    "sync": lambda: level.compute(scheduler="sync").sum(),
    "num_workers": lambda: (level + 1).sum().compute(num_workers=2),
    "pool": pool,
}
for name, way in WAYS.items():
    child = os.fork()
    if not child:
        print(name, int(way()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_reads_what_its_parent_opened(served, tmp_path, run_python):
    pixels = noise(2, 32, 32)
    write_v2(tmp_path, [pixels], {"version": "0.3", "axes": ["z", "y", "x"]})
    script = f"import sys; sys.argv[1:] = [{served.endpoint!r}]\n{FORKED}"
    done = run_python(script, PYTHONWARNINGS="ignore")
    whole, more = int(pixels.sum()), int(pixels.sum()) + pixels.size
    assert done.stdout.splitlines() == [
        f"stored {whole}",
        f"opened anew {whole}",
        f"sync {whole}",
        f"num_workers {more}",
        f"pool {more}",
    ], done.stderr
