"""What `store` is made of, from one request to what its answer means.

================  ========================================================================
``transport``     one request, over http or from a local folder
``deadline``      how long a key may take with all attempts, and how many are under way
``requests``      what is told of each request to whoever observes, such as a meter
``access``        which way leads to an address: a plain request, a signed one, an archive
``s3``            requests that are signed with a key
``secrets``       options that are not shown by accident
``zipped``        objects inside a zipped image, and ``zip_entries``, its table of contents
``documents``     several metadata documents at once
``answers``       the words for a request that failed, and what counts as "not there"
``known_keys``    how the chunks of an array are named, and whether any was found
================  ========================================================================
"""
