"""Where Jupyter, IPython and pip write, and where they do so if they cannot write there."""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOM = 700_000_000  # bytes for temporary files; pip keeps the downloads of one environment there


def led_places(env: dict, instead: Path) -> dict:
    """Return variables that lead into the folder `instead` what cannot be written elsewhere.

    That is the home folder, what Jupyter and IPython keep in it or where a variable says, and the
    folder for temporary files. The folders are made, if they can be.
    """
    led = {}
    home = os.path.expanduser("~")
    if not (os.path.isabs(home) and os.path.isdir(home) and can_write(home)):
        home = led["HOME"] = str(instead)
    data = env.get("JUPYTER_DATA_DIR") or jupyter_data(env, home)
    places = {
        "JUPYTER_DATA_DIR": data,
        "JUPYTER_RUNTIME_DIR": os.path.join(data, "runtime"),
        "JUPYTER_CONFIG_DIR": os.path.join(home, ".jupyter"),
        "IPYTHONDIR": os.path.join(home, ".ipython"),
    }
    for name, place in places.items():
        if not can_write(env.get(name) or place):
            led[name] = str(instead / name.lower())
    if not has_room():
        led["TMPDIR"] = str(instead / "tmp")
    for path in led.values():
        with contextlib.suppress(OSError):  # who needs it will say that it is not there
            os.makedirs(path, exist_ok=True)
    return led


def jupyter_data(env: dict, home: str) -> str:
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Jupyter")
    data = env.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(data, "jupyter")


def can_write(path: str) -> bool:
    """Say whether a folder can be written to, or made if it is not there yet."""
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def has_room() -> bool:
    """Say whether there is a folder for temporary files, and room in it."""
    try:
        folder = tempfile.gettempdir()  # where Python found no other, the current folder
        return folder != os.getcwd() and shutil.disk_usage(folder).free > ROOM
    except OSError:
        return False
