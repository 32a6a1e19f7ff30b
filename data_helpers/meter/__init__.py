"""Count what really went over the wire in a block of code.

=============  =====================================================================
``measuring``  `request_meter`: the block
``cost``       `Cost`: what was counted in it
``spool``      how other processes report what they ask for
``timeline``   requests over time
``plot``       a picture of them
``magic``      the same for a cell of a notebook: ``%%cost``
=============  =====================================================================
"""

from .cost import Cost as Cost
from .magic import load_magic as load_magic
from .measuring import request_meter as request_meter
