"""What `make test` says while it runs."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.support.progress import Progress


def report(
    test: str, when: Literal["setup", "call", "teardown"], outcome: Literal["passed", "failed"]
) -> pytest.TestReport:
    return pytest.TestReport(test, ("", None, ""), {}, outcome, None, when, duration=0.5)


def run(progress: Progress, test: str, fails: str = "") -> None:
    for when in ("setup", "call", "teardown"):
        progress.hear(report(test, when, "failed" if when == fails else "passed"))


def test_a_line_for_each_file_comes_when_its_last_test_is_done() -> None:
    said: list[str] = []
    now = iter([100.0, 161.0, 162.0]).__next__
    progress = Progress(said.append, now)
    progress.expect(["tests/a.py::one", "tests/a.py::two[x::y]", "tests/b.py::Three::four"])
    run(progress, "tests/a.py::one")
    assert said == []
    run(progress, "tests/b.py::Three::four")
    run(progress, "tests/a.py::two[x::y]")
    assert said == [
        " 67%  1:01  tests/b.py: 1 tests in 1.5 s",
        "100%  1:02  tests/a.py: 2 tests in 3.0 s",
    ]


@pytest.mark.parametrize(
    ("when", "told"),
    [("setup", "ERROR in setup of"), ("call", "FAILED"), ("teardown", "ERROR in teardown of")],
)
def test_a_test_that_fails_is_named_at_once(when: str, told: str) -> None:
    said: list[str] = []
    progress = Progress(said.append, lambda: 0.0)
    progress.expect(["tests/a.py::one", "tests/a.py::two"])
    run(progress, "tests/a.py::one", when)
    assert said == [f"{told} tests/a.py::one"]
    run(progress, "tests/a.py::two")
    assert said[1:] == ["100%  0:00  tests/a.py: 2 tests in 3.0 s, 1 FAILED"]
