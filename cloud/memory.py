"""How the cloud's process asks the machine for memory."""

from __future__ import annotations

import ctypes
import gc

from shared.log import get_logger

log = get_logger("cloud")

# The numbers that glibc has for them; what other C libraries make of these is nothing.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
HEAPS = 2
# Bytes: what is larger goes back as soon as it is let go. Unset, glibc moves it up to 32 MB.
LARGE = 128 * 1024


def share_heaps(most: int = HEAPS) -> bool:
    """Let all threads have their memory from so many heaps; whether the C library does so.

    glibc gives each of some dozens of threads a heap of its own. A page is written by one of them
    and let go by another, so each keeps holes of all the others' sizes: the process grew by 5 MB a
    minute, with nothing in it that was more. Threads that run Python take turns anyway. To be
    called before threads begin: a heap that there is stays.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        log.info("heaps_not_shared", why="this C library has no mallopt")
        return False
    wanted = ((M_ARENA_MAX, most), (M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, LARGE))
    return all(bool(set_option(*one)) for one in wanted)


def begin() -> None:
    """Collect nothing until `keep_what_is_there`: whatever is made while a service starts stays,
    and to look through it again and again costs a sixth of the start."""
    gc.disable()


def keep_what_is_there() -> None:
    """Tell the collector that what is there now stays, to be called once a service has begun.

    It looks at everything only when a quarter more has come. With hundreds of thousands of objects
    of modules that is seldom, and what was let go lies between what is new.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
