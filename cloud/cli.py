"""The commands of `splitsight cloud`."""

from __future__ import annotations

import signal
import threading

from cloud.configuration.settings import load_cloud_settings
from cloud.evaluation import cli as evaluation
from cloud.leakage.cli import leakage
from cloud.service import CloudService
from cloud.training import cli as training
from shared.command_options import ConfigOption, command_group
from shared.log import get_logger

log = get_logger("cloud")
app = command_group("The cloud service, and the making of bundles.")


@app.command()
def serve(config: ConfigOption) -> None:
    """Network: serve devices and people until SIGTERM or Ctrl-C."""
    settings = load_cloud_settings(config)
    wanted_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted_stop.set())
    with CloudService(settings):
        wanted_stop.wait()
        log.info("stopping")
    log.info("stopped")


app.command()(training.train)
app.command()(evaluation.evaluate)
app.command()(evaluation.certify)
app.command()(leakage)
app.command()(evaluation.parity)
app.command()(training.base)
