"""The offline stand-in: an S3 endpoint on this computer that paints the tutorial's images.

It serves a bucket ``idr`` with the keys, shapes and metadata of the three IDR images, and a plate
that is invented. The pixels are synthetic: each chunk is computed when it is asked for, so nothing
is downloaded and nothing is kept on disk.

=============================  ====================================================
``catalogue``                  which keys the bucket holds, and their metadata
``arrays``                     an array: one chunk an object, or many in a shard
``plate_layout``               a plate: wells, images, and what was done to them
``listing``                    the keys in S3's order, without storing them
``chunks``                     one chunk: painted, then wrapped as a Blosc frame
``server``                     the S3 protocol
``manifest``, ``mirror``       real chunks from a folder, instead of painted ones
``process``                    starts and stops the server for a notebook kernel
``organoid``, ``embryo``, ...  one module paints one image (``plate``: many)
=============================  ====================================================

Run ``python -m data_helpers.offline --port 9000`` to start it by hand.
"""

from .catalogue import known_image as known_image
from .manifest import mirror_folder as mirror_folder
from .manifest import read_manifest as read_manifest
from .process import endpoint as endpoint
from .process import lasting_name as lasting_name
from .process import start as start
