"""Threads are made in one place, where none can end unnoticed."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.product import ROOT

PACKAGES = ("shared", "edge", "cloud", "fleet")
THEIR_PLACE = "shared/worker.py"


def makes_threads(source: str) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    names = (
        func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls
    )
    return bool({"Thread", "Timer", "ThreadPoolExecutor", "start_new_thread"} & set(names))


def test_only_the_worker_makes_threads() -> None:
    made = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted(Path(ROOT / package).rglob("*.py"))
        if makes_threads(path.read_text(encoding="utf-8"))
    }
    assert made == {THEIR_PLACE}, "use shared.worker.Worker, which tells its owner of its end"


def test_a_thread_made_by_hand_is_found() -> None:
    assert makes_threads("import threading as t\nt.Thread(target=print).start()")
    assert makes_threads("from threading import Timer\nTimer(1, print)")
    assert not makes_threads("Worker('w', print, on_death=print)")
