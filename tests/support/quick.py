"""Which tests are quick, and a guard that holds them to it.

A quick test starts no process and imports no torch. One that does is marked `process` or `torch`;
a module that imports torch as it is imported says `pytestmark = pytest.mark.torch`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Failed

SLOW = ("process", "torch")
STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"})
# What matplotlib asks once, where HOME is new, when it is imported.
FONTS = "fc-list"
# A worker that is given one of these last keeps the others waiting. Quick ones wait, for sockets
# and clocks, while other workers have the processor.
LONG = (
    *("tests/edge/test_update_box.py", "tests/fleet/identity/test_gateway.py"),
    *("tests/system/", "tests/hardware_sim/scale/", "tests/fleet/rounds/", "tests/hardware_sim/"),
)
WHOLE = re.compile(r"^pytestmark = .*\bmark\.torch\b", re.MULTILINE)
SOME = re.compile(r"\bmark\.(process|torch)\b")


class SlowInQuick(Failed):
    """What a quick test may not do; no `except Exception` on the way keeps it from being told."""


class Guard:
    """Raises where a process is started or torch is imported, while it watches.

    `hear` is an audit hook, which stays for as long as the interpreter does.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._watches = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within: collection, or one test. Between, pytest and its workers do as they like."""
        self._watches = True
        try:
            yield
        finally:
            self._watches = False

    def hear(self, event: str, details: tuple[Any, ...]) -> None:
        """Raises SlowInQuick where the event is one of what a quick test does not do."""
        if not self._watches:
            return
        if event == "import" and details[0] == "torch":
            self._refuse("it imports torch: mark it with pytest.mark.torch")
        elif event in STARTS and Path(str(details[0] if details else "")).name != FONTS:
            self._refuse(f"it starts a process ({event}): mark it with pytest.mark.process")

    def _refuse(self, what: str) -> None:
        self.found.append(what)
        raise SlowInQuick(what)


class QuickTests:
    """The plugin of `--group quick`: the other tests are left out, and the guard stands by."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if _is_test(collection_path) and WHOLE.search(_text(collection_path)) else None

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        _keep(config, items, _long_first(item for item in items if not is_slow(item)))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Any:
        with self._guard.watching():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Any:
        with self._guard.watching():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        """A guard that spoke in a thread, or was caught, fails the test as well."""
        report = yield
        if self._guard.found and report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {self._guard.found[0]}"
        if call.when == "teardown":
            self._guard.found.clear()
        return report


class OtherTests:
    """The plugin of `--group slow`: what the quick group leaves out, the longest files first."""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return (
            True if _is_test(collection_path) and not SOME.search(_text(collection_path)) else None
        )

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        _keep(config, items, _long_first(item for item in items if is_slow(item)))


def plugin(group: str) -> QuickTests | OtherTests:
    """Of one group, `quick` or `slow`; the first installs its guard."""
    if group == "slow":
        return OtherTests()
    guard = Guard()
    sys.addaudithook(guard.hear)
    return QuickTests(guard)


def is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) is not None for name in SLOW)


def _long_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    return sorted(items, key=lambda item: _turn(item.nodeid))


def _turn(test: str) -> int:
    """Where the folder of a test stands among those whose files take long."""
    return next((at for at, folder in enumerate(LONG) if test.startswith(folder)), len(LONG))


def _is_test(path: Path) -> bool:
    return path.name.startswith("test_") and path.suffix == ".py"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _keep(config: pytest.Config, items: list[pytest.Item], kept: Sequence[pytest.Item]) -> None:
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept
