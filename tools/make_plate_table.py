"""Measure the synthetic plate with CellProfiler, and store the tables that notebook 09 shows.

    python3 run.py tool cellprofiler                        once: CellProfiler's environment
    python3 run.py python tools/make_plate_table.py         all 94 wells, twice: some four minutes
    python3 run.py python tools/make_plate_table.py --check A/1 D/12    measure two, and compare

`cellprofiler_plate.csv` comes from settings that count right. `cellprofiler_first_guesses.csv` is
what CellProfiler's own suggestions give. The truth is in `data_helpers.offline.plate.cells_in`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data_helpers" / "hand_over"  # in the package, so that Colab has them, too
KEY = "idr/synthetic/plates/96_wells.zarr"
TUNED: dict[str, Any] = {"diameter": (14, 45), "declump": "Shape", "keep_border": True}
TABLES: dict[str, dict[str, Any]] = {
    "cellprofiler_plate.csv": TUNED,
    "cellprofiler_first_guesses.csv": {},
}


def measured(settings: dict[str, Any], wells: Sequence[str] | None = None) -> pd.DataFrame:
    from data_helpers import measure_plate, open_plate
    from data_helpers.offline import start

    server = start()
    try:
        return measure_plate(open_plate(f"{server.endpoint}/{KEY}"), wells, **settings)
    finally:
        server.stop()


def differences(wells: Sequence[str]) -> list[str]:
    """Name the stored tables that differ from what CellProfiler says of these wells now."""
    wrong = []
    for name, settings in TABLES.items():
        stored = pd.read_csv(FOLDER / name).set_index("well").loc[list(wells)]
        now = measured(settings, wells).set_index("well")
        try:
            pd.testing.assert_frame_equal(stored, now, check_dtype=False)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the synthetic plate with CellProfiler.")
    parser.add_argument("--check", nargs="+", metavar="WELL", help="change nothing, compare these")
    options = parser.parse_args(arguments)
    if options.check:
        wrong = differences(options.check)
        print("\n".join(wrong) or "The stored tables agree.")
        return 1 if wrong else 0
    FOLDER.mkdir(exist_ok=True)
    for name, settings in TABLES.items():
        measured(settings).to_csv(FOLDER / name, index=False, lineterminator="\n")
        print(f"Written: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
