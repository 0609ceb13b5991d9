"""Power cuts against real trees of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hardware_sim.power.plug import Plug
from shared.errors import ProcessError
from tests.support.power_cut import cut_after, cut_when

PATIENCE_S = 20.0
# A child that ignores SIGTERM and prints its number, a daemon by double fork in a session of its
# own whose parents are gone, and a parent that goes on for ever.
TREE = """
import os, signal, subprocess, sys
IDLE = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \\
    "print('ready', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE)
child.stdout.readline()
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(write, str(os.getpid()).encode() + b" ")
    signal.pause()
os.wait()
daemon = os.read(read, 20).split()[0].decode()
print(child.pid, daemon, flush=True)
signal.pause()
"""
FORKER = """
import os, signal, sys
print("ready", flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        for _ in range(3):
            if os.fork():
                break
        signal.alarm(20)
        signal.pause()
    signal.sigtimedwait([], 0.005)
"""


@contextmanager
def start(code: str, plug: Plug | None) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=plug.environment if plug else None,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> list[int]:
    """The numbers that a process prints on its first line."""
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[str]]:
    with start("import signal; print(1, flush=True); signal.pause()", None) as process:
        told(process)
        yield process


@pytest.mark.process
def test_a_cut_ends_the_whole_tree_and_nobody_else(bystander: subprocess.Popen[str]) -> None:
    plug = Plug()
    with start(TREE, plug) as root:
        child, daemon = told(root)
        cut = plug.cut()
        assert {root.pid, child, daemon} == {killed.pid for killed in cut.killed}
        assert all(is_gone(pid) for pid in (child, daemon))
        assert root.wait(PATIENCE_S) == -signal.SIGKILL
    assert bystander.poll() is None
    assert any("signal.pause()" in " ".join(killed.command) for killed in cut.killed)
    assert plug.members() == []


@pytest.mark.process
def test_a_running_process_can_be_fed_later_and_its_children_with_it() -> None:
    plug = Plug()
    with start(TREE, None) as root:
        child, daemon = told(root)
        try:
            plug.feed(root.pid)
            cut = plug.cut()
            assert {root.pid, child} <= {killed.pid for killed in cut.killed}
            assert is_gone(child)
        finally:
            # Without the mark nothing ties this one to the tree.
            os.kill(daemon, signal.SIGKILL)


@pytest.mark.process
def test_nothing_that_keeps_forking_escapes() -> None:
    plug = Plug()
    with start(FORKER, plug) as root:
        assert root.stdout is not None
        assert root.stdout.readline() == "ready\n"
        give_up = time.monotonic() + PATIENCE_S
        while len(plug.members()) < 10:
            assert time.monotonic() < give_up
        assert len(plug.cut().killed) >= 10
        assert plug.members() == []


@pytest.mark.process
def test_a_cut_comes_when_its_instant_is_reached(tmp_path: Path) -> None:
    plug, sign = Plug(), tmp_path / "sign"
    code = f"import pathlib, signal; pathlib.Path({str(sign)!r}).touch(); signal.pause()"
    with start(code, plug) as root:
        cut = cut_when(plug, sign.exists, timeout_s=PATIENCE_S, cancelled=threading.Event())
        assert cut is not None
        assert [killed.pid for killed in cut.killed] == [root.pid]


@pytest.mark.process
def test_a_cut_after_a_delay_can_be_cancelled() -> None:
    plug, cancelled = Plug(), threading.Event()
    with start("import signal; print(1, flush=True); signal.pause()", plug) as root:
        told(root)
        cancelled.set()
        assert cut_after(plug, PATIENCE_S, cancelled) is None
        assert cut_when(plug, lambda: False, timeout_s=PATIENCE_S, cancelled=cancelled) is None
        assert root.poll() is None
        cut = cut_after(plug, 0.0, threading.Event())
        assert cut is not None
        assert [killed.pid for killed in cut.killed] == [root.pid]


def test_an_instant_that_never_comes_is_said() -> None:
    with pytest.raises(ProcessError, match=r"did not come within 0\.01 s"):
        cut_when(Plug(), lambda: False, timeout_s=0.01, cancelled=threading.Event())


@pytest.mark.parametrize("above", [os.getpid, os.getppid])
def test_we_never_hang_on_the_plug_ourselves(above: object) -> None:
    assert callable(above)
    with pytest.raises(ProcessError, match="runs this simulator"):
        Plug().feed(above())


@pytest.mark.process
def test_a_process_that_is_not_there_is_refused() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(PATIENCE_S)
    with pytest.raises(ProcessError, match=f"no process {gone.pid}"):
        Plug().feed(gone.pid)


def test_an_empty_plug_cuts_nothing() -> None:
    assert Plug().cut().killed == ()
