"""Structured logs on standard error: one event name a fact, no secrets."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog

LogStyle = Literal["text", "json"]
# People write passwords with `@` and `/` in them, so it takes too much rather than too little:
# up to the last `@` of the authority, or of the word where what follows the colon is no port.
# One slash is enough, since that is what `Path` makes of two.
_CREDENTIALS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]+:/{1,2})(?:[^/\s]*@|[^/\s:]*:(?!\d+/)\S*@)", re.IGNORECASE
)


def redact(text: str) -> str:
    """The text with user and password taken out of every URL in it."""
    return _CREDENTIALS.sub(r"\g<scheme>***@", text)


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _redacted(value)
    return event


def _redacted(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case int() | float() | None:
            return value
        case Mapping():
            return {key: _redacted(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_redacted(inner) for inner in value]
        case _:
            return redact(repr(value))


class _StandardError:
    """Standard error as it is now: loggers live longer than what a test puts in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _log_death(death: threading.ExceptHookArgs) -> None:
    """Of any thread, a library's too."""
    if death.exc_type is SystemExit:
        return
    name = death.thread.name if death.thread else "?"
    error = (death.exc_type, death.exc_value, death.exc_traceback)
    get_logger("threads").error("thread_died", thread=name, exc_info=error)


def configure(style: LogStyle | None = None, level: int = logging.INFO) -> None:
    """Set up logging for this process: text for a terminal, JSON lines for anything else."""
    if style is None:
        style = "text" if sys.stderr.isatty() else "json"
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if style == "text"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    # Whoever watches threads already, such as a test runner, goes on doing it.
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_death


def get_logger(component: str) -> structlog.stdlib.BoundLogger:
    """A logger that names its component in every event."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(component=component)
    return logger
