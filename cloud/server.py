"""`splitsight cloud serve`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from cloud.configuration.settings import load_cloud_settings
from cloud.service import CloudService
from shared.log import get_logger

log = get_logger("cloud")


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The cloud's YAML file.")],
) -> None:
    """Serve devices and people until SIGTERM or Ctrl-C."""
    settings = load_cloud_settings(config)
    wanted_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted_stop.set())
    with CloudService(settings):
        wanted_stop.wait()
        log.info("stopping")
    log.info("stopped")
