"""Rules for every test: nothing is skipped in CI, Ctrl-C is heard, properties repeat themselves."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings
from structlog._config import BoundLoggerLazyProxy

from shared.openmp import yield_early
from shared.redaction import KNOWN
from tests.support import quick

yield_early()

with warnings.catch_warnings():
    # typer 0.20 imports names that click 8.5 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import typer  # noqa: F401

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background; what tests start would not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

IN_CI = os.environ.get("CI") == "true"

# A machine that is busy with something else must not fail a property.
settings.register_profile("desk", deadline=None)
# While one writes: `make test` asks each property five times as often.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--group",
        choices=["quick", "slow"],
        help="quick: tests that start no process and import no torch; slow: the others",
    )


def pytest_configure(config: pytest.Config) -> None:
    if group := config.getoption("group"):
        config.pluginmanager.register(quick.plugin(group), "group")


@pytest.fixture(autouse=True)
def no_secrets_of_others() -> Iterator[None]:
    """What one test typed as a password is an ordinary word to the next."""
    yield
    KNOWN.forget()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For torch: two that wait for each other on a busy machine take ten times as long as one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that runs in a test sets up logging, and each logger keeps what it first saw: no
    later test could read what it says."""
    yield
    if structlog.get_config()["cache_logger_on_first_use"]:
        structlog.reset_defaults()
        for one in gc.get_objects():
            if type(one) is BoundLoggerLazyProxy:
                vars(one).pop("bind", None)


def skipped(config: pytest.Config) -> int:
    """How many tests were skipped so far."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test in CI is a failed one: whatever it needs has to be installed there."""
    if IN_CI and skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = skipped(config)
    if IN_CI and count:
        terminalreporter.write_line(
            f"{count} tests were skipped: CI=true allows none; install what they ask for",
            red=True,
        )
