"""Titles of synthetic images: what is shown comes first, and "synthetic" in brackets last."""

import pytest

from data_helpers._formatting import synthetic_title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("IDR 6001247", "IDR 6001247 (synthetic stand-in)"),
        ("synthetic stand-in for IDR 6001247", "IDR 6001247 (synthetic stand-in)"),
        ("synthetic plate of 96 wells", "plate of 96 wells (synthetic)"),
        ("synthetic plate, well B/3, field 0", "plate, well B/3, field 0 (synthetic)"),
        ("synthetic.zarr", "synthetic.zarr"),
        ("a Synthetic thing", "a Synthetic thing (synthetic stand-in)"),
        ("nuclei (synthetic)", "nuclei (synthetic)"),
        ("synthetic ", "synthetic "),
    ],
)
def test_a_title_says_what_and_then_that_it_is_synthetic(name, title):
    assert synthetic_title(name) == title
    assert synthetic_title(title) == title
