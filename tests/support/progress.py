"""One line for each file of tests as it is done: `pytest -p tests.support.progress`.

Of several workers the lines come as files end, so they can be read while the tests run; a test
that fails is named at once, and what it said stands at the end as ever.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable

import pytest

Status = tuple[str, str, object]


class Progress:
    """Counts the tests of each file.

    say      takes one finished line
    seconds  a clock
    """

    def __init__(
        self, say: Callable[[str], None], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._seconds = seconds
        self._began = seconds()
        self._expected: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._took: dict[str, float] = defaultdict(float)

    def expect(self, tests: Iterable[str]) -> None:
        """These node ids are to run; what another worker has said before is the same."""
        self._expected = Counter(map(file_of, tests))

    def hear(self, report: pytest.TestReport) -> None:
        """Of a test's set-up, call or tear-down."""
        name = file_of(report.nodeid)
        self._took[name] += report.duration
        if report.failed:
            self._bad[name] += 1
            word = "FAILED" if report.when == "call" else f"ERROR in {report.when} of"
            self._say(f"{word} {report.nodeid}")
        if report.when == "teardown":
            self._done[name] += 1
            if self._done[name] == self._expected[name]:
                self._say(self._line(name))

    def _line(self, name: str) -> str:
        share = sum(self._done.values()) / sum(self._expected.values())
        minutes, seconds = divmod(int(self._seconds() - self._began), 60)
        failed = f", {self._bad[name]} FAILED" if self._bad[name] else ""
        return (
            f"{share:4.0%} {minutes:2d}:{seconds:02d}  {name}: {self._done[name]} tests"
            f" in {self._took[name]:.1f} s{failed}"
        )


def file_of(test: str) -> str:
    return test.partition("::")[0]


class ProgressPlugin:
    """Puts `Progress` in the place of pytest's dots."""

    def __init__(self, config: pytest.Config, progress: Progress) -> None:
        self._workers = config.getoption("numprocesses", None)
        self._progress = progress

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not self._workers:
            self._progress.expect(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._progress.expect(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._progress.hear(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_teststatus(self) -> Generator[None, Status, Status]:
        """No dot; the category, by which pytest counts, stays."""
        category, _, _ = yield
        return category, "", ""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        progress = Progress(reporter.write_line)
        config.pluginmanager.register(ProgressPlugin(config, progress), "progress-by-file")
