"""Libraries that would speak to their makers, told not to before they are imported.

What each does by default, unless `CI=true`: onnxruntime's wheel for Linux writes a device id and
events below `~/.cache/Microsoft` and sends them from the ninth second on; `import openvino` makes a
client id below `~/intel` and sends an event; Flower looks for updates and reports its use;
MLflow sends what is called, in what kind of environment, to its makers.
matplotlib speaks to nobody, but keeps a list of fonts in the user's home.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_FONTS = "MPLCONFIGDIR"


def keep_quiet() -> None:
    """Called when `shared` is imported, and so before any of them; what the user has set stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # Where this package is missing OpenVINO uses a stub of its own. The other way to opt out is a
    # file in the user's home.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    # A filter, since Flower sets its logger's level when it is imported.
    logger = logging.getLogger("flwr")
    if not any(isinstance(known, _WarningsOnly) for known in logger.filters):
        logger.addFilter(_WarningsOnly())


def keep_fonts_aside() -> None:
    """Have matplotlib list fonts in a folder that goes with this process. Before its import."""
    if _FONTS not in os.environ:
        os.environ[_FONTS] = folder = tempfile.mkdtemp(prefix="splitsight-fonts-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


class _WarningsOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING
