"""Look at an image: in the notebook, or in another program.

==================  =====================================================================
``widget``          `view` and `Viewer`: pan and zoom by tiles
``facts``           what the page is told of an image
``start``           where a view begins, and the code and the link that open it there
``page_source``     the JavaScript and the style of their page, from the files in ``page``
``scene``           what there is to see in an image
``look``            which plane is shown, and how
``levels``          its levels, and which of them suits a purpose
``measure``         what lies under a click
``find``            where a label is that Python selects
``stack``           all planes below a part of a level
``projection``      their maximum
``sides``           cuts through them
``label_paint``     labels, outlined or filled
``contrast``        histograms, and automatic contrast
``bands``           how each channel is shown
``tiles``           reads chunks, and paints
``latest_tasks``    works on the latest request of the browser only
``links``           `viewer_links`: links and commands that open an image elsewhere
``neuroglancer``    what Neuroglancer is told
==================  =====================================================================

The names listed in ``__init__.pyi`` are imported when they are first used: links need no widget.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
