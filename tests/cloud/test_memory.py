"""Threads share the process's heaps, so that it does not grow with nothing in it that is more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

# As many threads as take memory at once, and then how many heaps the C library has.
CODE = """
import ctypes, os, sys, threading
from cloud.memory import share_heaps
if sys.argv[1] == "shared":
    assert share_heaps(2)
c = ctypes.CDLL(None)
c.malloc.restype = c.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(8)

def take():
    together.wait()
    c.malloc(1000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
out = ctypes.c_void_p(c.fdopen(1, b"w"))
c.malloc_info(0, out)
c.fflush(out)
"""


def heaps(how: str) -> int:
    said = subprocess.run(
        [sys.executable, "-c", CODE, how],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return len(re.findall("<heap nr=", said))


@pytest.mark.skipif(sys.platform != "linux", reason="the question is glibc's")
def test_threads_take_their_memory_from_two_heaps() -> None:
    assert heaps("shared") <= 2
    assert heaps("own") > 2


def test_what_was_there_at_the_start_is_not_looked_at_again() -> None:
    code = (
        "import gc; from cloud.memory import begin, keep_what_is_there; begin();"
        "assert not gc.isenabled(); before = len(gc.get_objects());"
        "keep_what_is_there(); assert gc.isenabled();"
        "print(before, gc.get_freeze_count(), len(gc.get_objects()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    before, kept, looked_at = map(int, said.split())
    assert kept > before / 2
    assert looked_at < before / 10
