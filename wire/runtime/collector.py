"""How often Python looks for cyclic garbage in a process that handles messages for ever.

The modules and parts of a process are there for good, and what a message leaves behind is freed by counting references.
Python's defaults, made for short programs, look all of it through again and again.
"""

import gc

YOUNG_OBJECTS_MAX = 10_000
"""New containers after which the young are looked through; some 2 MB at most."""


def collect_rarely() -> None:
    """Leave out what is there now, and look for garbage less often; call it once all parts are made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
