"""The block whose requests are counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from .._store.requests import observers
from .cost import Cost
from .spool import new_folder, read_spool


@contextmanager
def request_meter(show: bool = True) -> Iterator[Cost]:
    """Count what the stores of this package ask for while a block runs, and print one line.

    Counts whatever an image opened by this package asks for: over https, at an S3 endpoint, or
    in a local folder; in all threads, and in processes on this computer that receive the image,
    or an array of it, while the block runs (Dask's processes, a process pool, the workers of a
    `LocalCluster`). What is found in a cache is no request. Blocks may lie inside one another:
    each counts all.

    Not counted: workers on other computers; a process that received the image before the block
    began, such as a Dask graph that was persisted earlier; a request in another process that is
    not done when the block ends; and what other libraries fetch.

    Parameters
    ----------
    show : bool
        Whether to print the line at the end of the block.

    Yields
    ------
    Cost
        `requests`, `bytes`, `retries`, `not_found`, `most_in_flight`, `seconds` and
        `fetched_twice`; ``str(cost)`` is the line.

    Examples
    --------
    >>> with request_meter(show=False) as cost:
    ...     pass
    >>> cost.requests, cost.bytes
    (0, 0)
    """
    folder = new_folder()
    cost = Cost()
    cost.folder = folder
    observers.append(cost)
    try:
        yield cost
    finally:
        observers.remove(cost)
        cost.finish(read_spool(folder))
        shutil.rmtree(folder, ignore_errors=True)
        if show:
            print(cost)
