"""The code of docs/publishing.md, step by step, for tests that publish an image with it."""

import re

from .repository import ROOT, read

PAGE = read(ROOT / "docs" / "publishing.md")
RECIPE = PAGE[PAGE.index("## Publish with s3fs") : PAGE.index("### Many objects or few")]
NAMES = ("bucket", "policy", "cors", "parts", "pixels", "documents", "arrived")
STEPS = dict(zip(NAMES, re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL), strict=True))


def run(step, variables):
    """Run a step of the page; what it defines is added to the variables."""
    exec(compile(STEPS[step], step, "exec"), variables)


def publish(bucket, *images):
    """Make a bucket that anybody may read, and send images to it."""
    variables = {"bucket": bucket}
    for step in ("bucket", "policy", "cors"):
        run(step, variables)
    for image in images:
        variables |= {"folder": image.parent, "image": image}
        for step in ("parts", "pixels", "documents", "arrived"):
            run(step, variables)
        assert variables["wrong"] == []
