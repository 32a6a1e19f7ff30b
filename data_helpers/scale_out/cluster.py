"""A Dask cluster that fits the computer, or one that runs elsewhere, by its address."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import dask

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 30.0
"""Longest wait for a cluster."""

THREADS = 4
"""Threads of a worker: while some wait for the network, another computes."""

SHARE = 0.6
"""Part of the memory that workers may use together; the rest is for the notebook and the system."""

_HUB_PREFIX = "JUPYTERHUB_SERVICE_PREFIX"


def connect_cluster(n_workers: int | None = None) -> Client:
    """Connect to the cluster named by ``DASK_SCHEDULER_ADDRESS``, or start one on this computer.

    Parameters
    ----------
    n_workers : int, optional
        Worker processes to start on this computer: one for each processor core, at most 4 and at
        least one, if left out.

    Returns
    -------
    distributed.Client
        Closing it stops the workers that it has started, and leaves a cluster elsewhere alone.
    """
    from dask.system import CPU_COUNT
    from distributed import Client
    from distributed.system import MEMORY_LIMIT

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address:
        return Client(address, timeout=CONNECT_SECONDS)
    workers = n_workers or max(1, min(CPU_COUNT, 4, int(MEMORY_LIMIT // 1_000_000_000)))
    _link_through_jupyterhub()
    return Client(
        n_workers=workers,
        threads_per_worker=THREADS,
        memory_limit=int(SHARE * MEMORY_LIMIT / workers),
        processes=True,
        host="127.0.0.1",
        silence_logs=logging.ERROR,  # a worker that is replaced is no news
        dashboard_address="127.0.0.1:0",  # any free port, so that two notebooks do not clash
        timeout=CONNECT_SECONDS,
        preload=[__name__],  # each new worker calls dask_setup, below
    )


def dask_setup(worker: Any) -> None:
    """Let a worker ignore the stop button, which the system reports to it, too.

    The notebook takes its tasks back; without this, the worker would end, and be started anew.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _link_through_jupyterhub() -> None:
    """On a JupyterHub, Binder included, link to the dashboard at Jupyter's own address.

    A browser reaches nothing else there; jupyter-server-proxy passes it on. Dask puts the link
    together each time it is asked for, so the setting has to stay.
    """
    if os.environ.get(_HUB_PREFIX):
        dask.config.set({"distributed.dashboard.link": f"{{{_HUB_PREFIX}}}proxy/{{port}}/status"})
