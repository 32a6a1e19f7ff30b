"""A viewer for the notebook: pan and zoom an image of any size, by tiles through the kernel.

``scene`` knows what there is to see, ``tiles`` reads chunks and paints, ``wishes`` works on the
newest wish of the browser only, and ``widget`` with ``widget.js`` puts it on the page.
"""

from .widget import Viewer as Viewer
from .widget import view as view
