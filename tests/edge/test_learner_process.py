"""The learner as a process: what it is given, how it is held back, and how it ends."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edge.learning.learner_process import (
    Gone,
    Heard,
    LearnerProcess,
    Task,
    TaskDone,
    learner_command,
)
from tests.support.waiting import wait_until

# A learner without anything to learn with: it answers each task with its own words.
SCRIPT = """
import json, os, socket, sys
channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
for line in channel.makefile("rb"):
    task = json.loads(line)
    if task["base"] == "crash":
        os.abort()
    print("a library prints what it likes")
    said = "no json" if task["base"] == "mumble" else json.dumps({"id": task["id"], "answer": "a"})
    channel.sendall(said.encode() + b"\\n")
"""
PATIENCE_S = 30.0


class Ear:
    """Hears what a learner says."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self.learner = LearnerProcess([sys.executable, "-c", SCRIPT], self._said.put)

    def next(self) -> Heard:
        return self._said.get(timeout=PATIENCE_S)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.learner.end()


@pytest.mark.process
def test_tasks_are_answered_in_turn(ear: Ear) -> None:
    for name in ("one", "two"):
        ear.learner.give(Task(name, "message", ""))
    assert [ear.next(), ear.next()] == [TaskDone("one", "a"), TaskDone("two", "a")]


@pytest.mark.process
def test_a_learner_gives_way_to_everything_else_from_its_first_instruction(ear: Ear) -> None:
    pid = ear.learner.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


@pytest.mark.process
def test_a_learner_stands_still_and_goes_on(ear: Ear) -> None:
    ear.learner.give(Task("one", "", ""))
    ear.next()
    ear.learner.pause()
    process = psutil.Process(ear.learner.pid)
    # The kernel stops it when its turn comes, and on a busy machine that takes a while.
    wait_until(
        lambda: process.status() == psutil.STATUS_STOPPED, "it stands still", within_s=PATIENCE_S
    )
    ear.learner.give(Task("two", "", ""))
    ear.learner.go_on()
    assert ear.next() == TaskDone("two", "a")


@pytest.mark.process
def test_a_paused_learner_can_be_ended(ear: Ear) -> None:
    assert ear.learner.memory_bytes() > 0
    ear.learner.pause()
    ear.learner.end()
    assert ear.next() == Gone("SIGKILL")
    assert ear.learner.memory_bytes() == 0


@pytest.mark.process
def test_a_crash_is_heard_with_its_cause(ear: Ear) -> None:
    ear.learner.give(Task("one", "", "crash"))
    assert ear.next() == Gone("SIGABRT")
    ear.learner.give(Task("two", "", ""))
    ear.learner.pause()


@pytest.mark.process
def test_what_a_learner_mumbles_is_passed_over(ear: Ear) -> None:
    ear.learner.give(Task("one", "", "mumble"))
    ear.learner.give(Task("two", "", ""))
    assert ear.next() == TaskDone("two", "a")


@pytest.mark.process
def test_the_agent_has_neither_torch_nor_flower_in_memory() -> None:
    code = (
        "import sys, edge.box, edge.cli\n"
        "print([name for name in ('torch', 'flwr', 'fastapi') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "[]"


def test_the_learner_is_started_from_this_installation(tmp_path: Path) -> None:
    command = learner_command(tmp_path / "j.db", "box-1", tmp_path / "state")
    assert command[:3] == [sys.executable, "-m", "edge.learner"]
    assert "box-1" in command
