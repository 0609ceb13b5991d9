"""Two processes of the cloud on one fleet's folder: one has it, the other serves its tails."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from cloud.inference.registry import TailRegistry
from cloud.web.problems import handle_problems
from fleet.configuration.settings import FleetSettings, GatewaySettings
from fleet.identity.authority import Authority
from fleet.service import FleetService, open_fleet
from shared.plugins.services import Service, Surroundings
from shared.runtime.settings import RuntimeSettings
from shared.transport.memory import MemoryBroker
from shared.web.access import FixedAccess
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.cloud.web.caller import Caller
from tests.fleet.releases.rigs import Yard


class Process:
    """A cloud that serves one tail of its own, with what it was given of the fleet."""

    def __init__(self, yard: Yard, bundle: Path) -> None:
        self.rack = TailRegistry([bundle], RuntimeSettings(name="onnx"))
        transport = MemoryBroker().transport()
        around = Surroundings(
            transport, yard.clock, self.rack, None, threading.Event(), DeadWorkers()
        )
        settings = FleetSettings(folder=yard.folder, gateway=GatewaySettings(port=0))
        self.fleet: Service = open_fleet(settings, around)

    def asked(self, path: str) -> httpx.Response:
        app = FastAPI()
        handle_problems(app)
        app.add_middleware(FixedAccess)
        for router in self.fleet.routers:
            app.include_router(router)
        return Caller(app, "http://127.0.0.1").get(path)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    made = Yard(tmp_path)
    Authority.create(made.folder, ["127.0.0.1"], made.clock)
    return made


def test_the_second_process_on_a_folder_serves_its_tails_and_conducts_nothing(
    tmp_path: Path, yard: Yard
) -> None:
    own = make_bundle(tmp_path / "own", height=32, width=32, name="own")
    facts = yard.release()
    first, second = Process(yard, own.path), Process(yard, own.path)
    assert isinstance(first.fleet, FleetService)
    assert first.fleet.routers
    assert first.fleet.pages
    assert not second.fleet.pages
    answer = second.asked("/api/fleet/rollouts")
    assert answer.status_code == 409
    assert f":{os.getpid()}" in answer.json()["error"]
    before = yard.store.stamp()
    yard.clock.advance(300 * 86_400.0)
    second.fleet.start()
    try:
        assert facts.pair in second.rack
        assert yard.store.stamp() == before, "it signs nothing"
    finally:
        second.fleet.stop()
        first.fleet.stop()


def test_who_starts_when_the_first_has_ended_has_the_folder(tmp_path: Path, yard: Yard) -> None:
    own = make_bundle(tmp_path / "own", height=32, width=32, name="own")
    first = Process(yard, own.path)
    first.fleet.start()
    first.fleet.stop()
    then = Process(yard, own.path)
    try:
        assert isinstance(then.fleet, FleetService)
    finally:
        then.fleet.start()
        then.fleet.stop()
