"""Units of length as metadata spell them: by name, by symbol, and with the usual slips."""

from __future__ import annotations

import re
import unicodedata

PREFIXES = {
    "yotta": ("Y", 24),
    "zetta": ("Z", 21),
    "exa": ("E", 18),
    "peta": ("P", 15),
    "tera": ("T", 12),
    "giga": ("G", 9),
    "mega": ("M", 6),
    "kilo": ("k", 3),
    "hecto": ("h", 2),
    "deca": ("da", 1),
    "deka": ("da", 1),
    "": ("", 0),
    "deci": ("d", -1),
    "centi": ("c", -2),
    "milli": ("m", -3),
    "micro": ("u", -6),
    "nano": ("n", -9),
    "pico": ("p", -12),
    "femto": ("f", -15),
    "atto": ("a", -18),
    "zepto": ("z", -21),
    "yocto": ("y", -24),
}
"""Symbol and power of ten of each prefix of UDUNITS, the list that OME-Zarr takes units from."""

OTHERS = {
    "micron": 1.0,
    "angstrom": 1e-4,
    "ångström": 1e-4,
    "å": 1e-4,
    "inch": 25_400.0,
    "inches": 25_400.0,
    "in": 25_400.0,
    "foot": 304_800.0,
    "feet": 304_800.0,
    "ft": 304_800.0,
    "yard": 914_400.0,
    "yd": 914_400.0,
    "mile": 1.609344e9,
    "mi": 1.609344e9,
    "parsec": 3.0856775814913673e22,
}
"""Other units of length, in micrometres."""

NAMES = {f"{prefix}meter": 10.0 ** (power + 6) for prefix, (_, power) in PREFIXES.items()} | OTHERS
SYMBOLS = {f"{symbol}m": 10.0 ** (power + 6) for symbol, power in PREFIXES.values()}

MICRO = re.compile(r"\\u00b5|\\u03bc|âμ|μ", re.IGNORECASE)
"""µ as itself, as ImageJ writes it (\\u00B5), and read in the wrong encoding (Âµ)."""


def micrometers(unit: str | None) -> float:
    """How many micrometres a unit is, however it is spelled; 0 if it is no unit of length.

    Symbols are told apart by case ("mm" and "Mm") as long as that gives one; names are not.
    """
    text = MICRO.sub("u", unicodedata.normalize("NFKC", unit or "").strip(" .[]()"))
    name = re.sub("[ _-]", "", text.lower()).replace("metre", "meter")
    for known, spelled in ((SYMBOLS, text), (NAMES, name), (NAMES, name.rstrip("s"))):
        if spelled in known:
            return known[spelled]
    return SYMBOLS.get(text.lower(), 0.0)
