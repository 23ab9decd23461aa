"""The garbage collector's work, and giving memory back to the system."""

import ctypes
import gc
from contextlib import suppress
from typing import Final

# Of the collector: how many new objects between two looks, instead of 700. Few of ours refer
# to each other in circles.
COLLECT_THRESHOLDS: Final = (10_000, 10, 10)


def give_back() -> None:
    """What lists and bursts leave free inside the process goes back to the system.

    glibc keeps freed memory that is not at the end of its heap until asked (malloc_trim(3));
    other C libraries do not have the call. Takes a few milliseconds.
    """
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
