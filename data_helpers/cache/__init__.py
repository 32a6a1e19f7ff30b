"""Keep what was read, so that a second run of a notebook asks the endpoint for nothing.

A cache holds *entries*. An entry is one object that was read (a chunk or a metadata document), or a
part of an object, together with the object's ETag: the endpoint's name for this version of it.
"There is no such key" is kept as well, for a day; an error never is.

`MemoryCache` lives as long as the kernel. `DiskCache` is a folder with one file for each entry; any
number of processes may use it at once, because a file appears in it whole or not at all. Both
have a limit, and forget first what was not used for the longest time. Nothing in the folder is
ever executed or unpickled, and an entry that was damaged is read anew.

===========  ====================================================================
``choose``   from a word or a folder to a cache; clear it, have it rechecked
``base``     entries, the limit, and `CacheView`, the part of it that a store asks
``memory``   `MemoryCache`
``disk``     `DiskCache`
===========  ====================================================================

docs/caching.md says what was tried before, and when an entry can be out of date.
"""

from .base import Cache as Cache
from .choose import clear_cache as clear_cache
from .choose import find_cache as find_cache
from .choose import recheck_cache as recheck_cache
from .disk import DiskCache as DiskCache
from .memory import MemoryCache as MemoryCache
