"""What `metadata` is made of: each module understands one part of the documents.

================  ====================================================================
``axes``          names, units and roles of the axes
``codecs``        the codecs of an array, of which only those for numbers are read
``coordinates``   scales and coordinate systems
``document``      the door of every document: JSON of bounded depth
``hints``         channels, colours and windows (``omero``), which never block pixels
``paths``         paths that lead inwards only
``sizes``         sizes of arrays and chunks, and which are too large
``units``         units of length, as programs spell them
================  ====================================================================
"""
