"""What `splitsight doctor` asks of the cloud's half."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from cloud.broker.programs import PROGRAMS
from shared.commands.doctor import DoctorRow, group_rows, row
from shared.runtime.base import RUNTIMES

POSTGRESQL = Path("/usr/lib/postgresql")
INSTALL = "pip install 'splitsight[cloud]'"


def checks() -> list[DoctorRow]:
    """Rows for the embedded brokers, the database drivers and the tail's runtimes."""
    kinds = [program.name for program in PROGRAMS if program.found()]
    driver = importlib.util.find_spec("psycopg") is not None
    server = shutil.which("postgres") is not None or any(POSTGRESQL.glob("*/bin/postgres"))
    runtimes = RUNTIMES.names()
    return [
        row(
            "embedded broker",
            ok=bool(kinds),
            found=", ".join(kinds) or "none",
            wanted="mosquitto or iotcore",
            fix=f"apt install mosquitto, or {INSTALL}",
        ),
        row("records in SQLite", ok=True, found="built in", wanted="built in"),
        row(
            "records in PostgreSQL",
            ok=driver,
            found=("driver" if driver else "no driver")
            + (", a server is installed here" if server else ", no server here (optional)"),
            wanted="the driver psycopg",
            fix=INSTALL,
        ),
        row(
            "runtimes for the tail",
            ok=bool(runtimes),
            found=", ".join(runtimes) or "none",
            wanted="openvino or onnx",
            fix=INSTALL,
        ),
        *_pages(),
    ]


def _pages() -> list[DoctorRow]:
    """Only where the cloud can serve."""
    try:
        from cloud.app import plugged_pages  # noqa: PLC0415
    except ImportError:
        return []
    return list(group_rows("page", plugged_pages()))
