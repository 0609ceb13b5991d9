"""Flower, kept quiet: it looks up outside hosts unless told not to before it is imported."""

from __future__ import annotations

import logging
import os

_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def keep_flower_quiet() -> None:
    """Call before `flwr` is imported; what the user has set stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # A filter, since Flower sets its logger's level when it is imported.
    logger = logging.getLogger("flwr")
    if not any(isinstance(known, _WarningsOnly) for known in logger.filters):
        logger.addFilter(_WarningsOnly())


class _WarningsOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING
