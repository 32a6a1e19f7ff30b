"""Hand an image over to a tool of other people, and take back what it makes of it.

CellProfiler and napari need packages that don't get on with those of this course, so each lives in
an environment of its own (``python3 run.py tool napari``) and runs as a process of its own. Learned
segmentation runs in the Python that has it.

=======================  ======================================================================
``installed``            where a tool is, and what to type if it isn't there
``tool_process``         starts a tool, waits for its answers, and knows what it said last
``measure``              `measure_plate`: a plate through CellProfiler, one well at a time
``stack``                segments a stack with CellProfiler, one plane at a time
``cellprofiler_worker``  what runs on CellProfiler's side; imports NumPy and CellProfiler only
``napari_window``        `open_in_napari`: an image and its labels in a window
``napari_worker``        what runs on napari's side; imports NumPy, Zarr and napari only
``learned``              segments a stack with a network that others trained: cellpose, stardist
``weights``              the files of such networks: where they are kept, and how they get there
=======================  ======================================================================

The names listed in ``__init__.pyi`` are imported when they are first used.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
