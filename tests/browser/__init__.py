"""Tests in a real browser: `python3 run.py test` runs them where a Chromium is found."""
