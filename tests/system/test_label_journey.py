"""An inspector's word, from the API to the journal of the box that holds the picture, and on to
what a learner reads: real cloud, real broker, a real agent."""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud.broker.embedded import EmbeddedBroker
from edge.learning.journal_parts import JournalParts
from hardware_sim.demo.cells import lanes
from hardware_sim.processes.child import Child, splitsight, stop_all
from hardware_sim.processes.cloud import CloudProcess
from shared.loopback import free_port
from tests.support.waiting import wait_until
from tests.system.conftest import BUNDLE

pytestmark = pytest.mark.process

PATIENCE_S = 90.0


def ask(url: str, said: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the test's own server
        url,
        None if said is None else json.dumps(said).encode(),
        {"content-type": "application/json"},
        method="GET" if said is None else "PUT",
    )
    with closing(urllib.request.urlopen(request, timeout=10)) as answer:  # noqa: S310
        return json.load(answer)


def test_what_an_inspector_says_is_learned_from_on_the_device(tmp_path: Path) -> None:
    port = free_port()
    (lane,) = lanes(BUNDLE, 1)
    lane.write(tmp_path / "cells.txt")
    settings = {
        "site": "plant",
        "line": "line-1",
        "device": "box",
        "bundle": str(BUNDLE),
        "broker": {"port": port},
        "camera": {
            "kind": "folder",
            "path": str(tmp_path / "cells.txt"),
            "rate": 5,
            "loop": True,
        },
        "actuator": {"kind": "log"},
        "gate": {"pass_below": 0.5, "reject_from": 0.5},
        "runtime": {"name": "onnx"},
        "journal": {"path": "journal.db", "ring_keep": "all"},
        "learning": {"domain": "hall 3"},
    }
    (tmp_path / "edge.yaml").write_text(yaml.safe_dump(settings))
    box = Child(
        "box", splitsight("edge", "run", "--config", str(tmp_path / "edge.yaml")), tmp_path / "log"
    )
    cloud = CloudProcess(tmp_path, BUNDLE, port=free_port(), broker_port=port)
    with EmbeddedBroker("auto", "127.0.0.1", port):
        cloud.start()
        box.start()
        try:
            cloud.wait_until_ready()
            first = wait_until(
                lambda: ask(f"{cloud.url}/api/v1/inspections")["inspections"],
                "an inspection",
                within_s=PATIENCE_S,
            )[-1]
            where = f"{cloud.url}/api/v1/inspections/box/{first['boot']}/{first['sequence']}"
            word = {"verdict": "reject", "kind": "crack", "inspector": "schulz"}
            assert ask(f"{where}/review", word)["review"]["delivered_at"] is None
            review = wait_until(
                lambda: _delivered(ask(where)), "the label is delivered", within_s=PATIENCE_S
            )
            assert review["has_picture"] is True
            parts = JournalParts(tmp_path / "journal.db", "box")
            (label,) = parts.index()
            assert (label.defective, label.kind, label.domain) == (True, "crack", "hall 3")
            assert label.part == f"box/{first['part']}"
            assert parts.picture(0).size > 1000
        finally:
            stop_all([box, cloud.child])


def _delivered(inspection: dict[str, Any]) -> Any:
    review = inspection["review"]
    return review if review["delivered_at"] is not None else None
