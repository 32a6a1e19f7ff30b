"""Segment a volume that does not fit in memory, block by block, and join what the cuts divide.

The volume is cut into blocks. Each is read with some *overlap*, the voxels around it, so that an
object at a cut is seen whole from both sides; afterwards, two labels that cover the same voxels in
the overlap become one. Every result is kept in a Zarr store at once::

    run/run.json              whose results these are: image, function, parameters
    blocks/0.1.2              labels of one block and its overlap, one object in the store
    parts/0.1.2.parquet       what was measured in the block proper; written last: the block is done
    labels/                   the finished label image, OME-Zarr 0.4
    objects.parquet           the finished table, one row for each object
    failed.parquet            blocks of the last run without a result, and why

So a run can be stopped at any time, and the next one computes only what is missing.

==============  ===============================================================
``cluster``     a Dask cluster that fits the computer, or one by its address
``blocks``      how a volume is cut into blocks
``block_run``   `BlockRun`, the run as a whole
``claim``       whose results a store holds
``image_name``  what the image is called there
``fingerprint`` what tells two segment functions apart
``parameters``  the parameters, as they are written down
``tasks``       what the workers do with one block
``matching``    which labels are the same object: across a cut, or in the truth
``joining``     from parts of objects to whole ones
``results``     the store of a run
==============  ===============================================================

The names listed in ``__init__.pyi`` are imported when they are first used: a worker needs few.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
