"""Structured logs on standard error: one event name a fact, no secrets."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO, cast

import structlog

from shared.redaction import redact

LogStyle = Literal["text", "json"]


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
            return {redact(str(key)): _redacted(inner) for key, inner in value.items()}
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


def _print_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """As Python does, without the secrets that libraries put into their errors."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


class LibraryLog(logging.Handler):
    """What libraries log, as our own events: it would go to standard error unread."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's own arguments don't fit its own text
            text = str(record.msg)
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        logger = get_logger(record.name)
        write = logger.error if record.levelno >= logging.ERROR else logger.warning
        write("library_said", text=text)


def _listen_to_libraries() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, LibraryLog) for handler in root.handlers):
        handler = LibraryLog(logging.WARNING)
        root.addHandler(handler)


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
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_crash
    _listen_to_libraries()


def get_logger(component: str) -> structlog.stdlib.BoundLogger:
    """A logger that names its component in every event."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(component=component)
    return logger
