"""What `display` is made of, and the viewer, too.

==========  ==========================================================
``planes``  where a plane lies in an array of any axes
``pixels``  pixels of every kind as grey or colour, and their windows
``facts``   what a picture shows, in the words of its caption
==========  ==========================================================
"""
