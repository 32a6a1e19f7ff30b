"""What `plate` is made of.

============  =============================================================
``metadata``  from the documents of plates and wells to values
``reading``   the documents of many wells, and their images, all at once
``overview``  a whole plate as one lazy array
============  =============================================================
"""
