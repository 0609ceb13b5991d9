"""Two workers of one cloud, each a process of its own, on one broker."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from shared.bundles.bundle import Bundle
from tests.bundles import make_bundle
from tests.cloud.makers import DEVICE, escalation
from tests.cloud.server import Device, Server
from tests.support.waiting import wait_until

PARTS = 35


@pytest.mark.process
@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_a_worker_without_the_new_tail_loses_no_escalation_and_is_named(
    tmp_path: Path, bundle: Bundle, kind: str
) -> None:
    new = make_bundle(tmp_path / "new", height=96, width=96)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    database = f"database: sqlite:///{tmp_path / 'shared.db'}\napi: {{port: 0}}"
    with (
        Server(tmp_path / "one", bundle, kind, more=database) as first,
        Server(
            tmp_path / "two", bundle, broker_port=first.broker_port, more=database, also=[new]
        ) as second,
    ):
        both = (first, second)
        wait_until(lambda: all(len(workers(one)) == 2 for one in both), "each knows the other")
        device = Device(first, DEVICE)
        for sequence in range(1, PARTS + 1):
            # Sent once each: nobody sends an escalation again whose deadline is over.
            answer = device.escalate_once(escalation(new, sequence, remaining=5.0))
            assert answer.sequence == sequence
        counts = [httpx.get(f"{one.url}/api/v1/health").json()["counts"] for one in both]
        assert sum(one.get("unknown_pair", 0) for one in counts) == 0
        assert counts[0]["handed_on"] > 0
        assert counts[1]["answered"] == PARTS
        pair = new.manifest.pair
        wait_until(lambda: all(named(one, pair) for one in both), "health names the pair")
        device.stop()


def workers(server: Server) -> list[dict[str, object]]:
    found: list[dict[str, object]] = httpx.get(f"{server.url}/api/v1/health").json()["workers"]
    return [one for one in found if one["connected"]]


def named(server: Server, pair: str) -> bool:
    """Whether its health says which worker lacks the pair, and keeps it in service."""
    answer = httpx.get(f"{server.url}/api/v1/health")
    lacks = any(f"lacks the tail of pair {pair}" in one for one in answer.json()["warnings"])
    return lacks and answer.status_code == 200
