"""Settings of the JupyterLab that run.py starts: a notebook you open isn't marked as changed.

JupyterLab writes the kernel's name and the version of Python into each notebook it opens. The
notebooks of this course are stored without them, as they differ from computer to computer. So they
would all count as changed, and ask to be saved, before anything has run. Here they get both on
their way to the browser. The files stay as they are until you save.
"""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class NotebooksOfThisPython(AsyncLargeFileManager):
    """Notebooks as files, which name the kernel and the Python that they'll run on."""

    async def get(self, path: str, *options: Any, **named: Any) -> dict[str, Any]:
        """A file or folder as the browser asks for it."""
        model: dict[str, Any] = await super().get(path, *options, **named)
        if model["type"] == "notebook" and model["content"]:
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", {}).get("name") == "python3":
                spec = self.parent.kernel_spec_manager.get_kernel_spec("python3")
                metadata["kernelspec"] |= {"display_name": spec.display_name}
                metadata["language_info"] = dict(IPythonKernel.language_info)
        return model


c = get_config()  # type: ignore[name-defined]  # noqa: F821  (Jupyter puts it there)
c.ServerApp.contents_manager_class = NotebooksOfThisPython
