"""Say whether an environment holds what a lock asks for: `python tools/compare_lock.py LOCK`.

`run.py` starts this with the environment's own Python, after each set-up and at each start. It
imports the standard library only, and pip's copy of `packaging`. It looks at names and sizes of
files, not into them: that takes less than a second. It prints what differs, and then ends with 1.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import sysconfig
from collections import defaultdict


def required(lock):
    """Return {name: requirement} of what a lock's text asks for on this computer and Python."""
    from pip._vendor.packaging.requirements import Requirement

    lines = re.findall(r"^[A-Za-z0-9][^\n\\]*", lock, re.MULTILINE)
    found = [Requirement(line.strip()) for line in lines]
    return {tidy(r.name): r for r in found if r.marker is None or r.marker.evaluate()}


def installed(site):
    """Return {name: {version: folder}}, as the folders that pip leaves beside packages say."""
    found = defaultdict(dict)
    for entry in os.listdir(site):
        parts = re.fullmatch(r"(.+)-([^-]+)\.dist-info", entry)
        if parts:
            found[tidy(parts[1])][parts[2]] = os.path.join(site, entry)
    return found


def site_packages():
    return sysconfig.get_path("purelib")


def tidy(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(lock, site=None):
    """Return one short text for each package that is not as locked, or not there whole."""
    site = site or site_packages()
    there, wrong, records = installed(site), [], {}
    for name, requirement in required(lock).items():
        versions = there.get(name, {})
        if len(versions) == 1 and requirement.specifier.contains(*versions, prereleases=True):
            records[name] = next(iter(versions.values()))
        else:
            said = " and ".join(sorted(versions)) or "missing"
            wrong.append(f"{requirement.name} {said} (lock {requirement.specifier})")
    return wrong + damage(site, records)


def damage(site, records):
    """Return one short text for each package of which a file is missing or cut short.

    Folders are listed, rather than asking for each file, because that is fast on Windows, too. Of
    a file that two packages bring along (some ship a docs/conf.py), one size is enough.
    """
    wanted, wrong = defaultdict(dict), {}
    for name, folder in records.items():
        try:
            with open(os.path.join(folder, "RECORD"), encoding="utf-8", newline="") as lines:
                for path, _, size in csv.reader(lines):
                    if not path.endswith(".pyc"):
                        parent, file = os.path.split(path)
                        claim = (int(size or 0), name)
                        wanted[parent][file] = min(wanted[parent].get(file, claim), claim)
        except (OSError, ValueError):
            wrong[name] = f"{name} without its list of files"
    for parent, files in wanted.items():
        try:
            with os.scandir(os.path.join(site, parent)) as entries:
                found = {entry.name: entry for entry in entries}
        except OSError:
            found = {}
        for file, (size, name) in files.items():
            if file not in found:
                wrong.setdefault(name, f"{name} without {parent}/{file}")
            elif found[file].stat().st_size < size:
                wrong.setdefault(name, f"{name} with half of {parent}/{file}")
    return list(wrong.values())


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:
        found = differences(stream.read())
    print("; ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else ""))
    sys.exit(bool(found))
