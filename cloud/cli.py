"""The commands of `splitsight cloud`."""

from __future__ import annotations

import signal
import threading

from shared import command_options as option
from shared.log import get_logger

log = get_logger("cloud")
app = option.group(
    "The cloud service, and the making of bundles.",
    {
        "data": "cloud.datasets.cli:app",
        "train": "cloud.training.cli:train",
        "search": "cloud.studies.cli:search",
        "runs": "cloud.experiments.cli:runs",
        "evaluate": "cloud.evaluation.cli:evaluate",
        "certify": "cloud.evaluation.cli:certify",
        "leakage": "cloud.leakage.cli:leakage",
        "parity": "cloud.evaluation.cli:parity",
        "export": "cloud.targets.cli:export",
        "base": "cloud.training.cli:base",
        "account": "cloud.accounts.cli:account",
        "token": "cloud.accounts.cli:token",
        "audit": "cloud.accounts.cli:audit",
        "records": "cloud.records.cli:records",
        "alert": "cloud.alerts.cli:alert",
    },
)


@app.command()
def serve(config: option.Config) -> None:
    """Network: serve devices and people until SIGTERM or Ctrl-C."""
    from cloud.memory import begin, keep_what_is_there, share_heaps  # noqa: PLC0415

    begin()
    with option.needs_extra("cloud"):
        from cloud.configuration.settings import load_cloud_settings  # noqa: PLC0415
        from cloud.service import CloudService  # noqa: PLC0415
    share_heaps()
    settings = load_cloud_settings(config)
    wanted_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wanted_stop.set())
    with CloudService(settings):
        keep_what_is_there()
        wanted_stop.wait()
        log.info("stopping")
    log.info("stopped")
