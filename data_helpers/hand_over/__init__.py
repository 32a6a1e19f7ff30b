"""Hands an image over to the programs that biologists use, and takes their results back.

None of these programs belongs to this package. Each function says in one sentence what is missing.

===========  ====================================================================
``learned``  segments a stack with a network that others trained: cellpose, stardist
``weights``  the files of such networks: where they are kept, and how they get there
===========  ====================================================================
"""
