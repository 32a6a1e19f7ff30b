"""Programs that make or check files of this repository, and what `run.py` is made of."""
