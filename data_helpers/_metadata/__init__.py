"""What `metadata` is made of: each module understands one part of the documents.

================  ====================================================================
``axes``          names, units and roles of the axes
``coordinates``   scales and coordinate systems
``hints``         channels, colours and windows (``omero``), which never block pixels
``units``         units of length, as programs spell them
================  ====================================================================
"""
