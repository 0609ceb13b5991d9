"""Every answer of the API is one that its description has, whatever is sent: by schemathesis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from shared.web.access import TOKEN_SCOPES
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import access_to
from tests.cloud.web.test_access import ROOT, SECRET, fleet_of
from tests.cloud.web.test_api import healthy
from tests.support.databases import place_migrated

# What these take has rules that a schema can't say, and a caller needs to be told of them (422):
# where a page begins is what we gave them before, a part that passes has no kind of defect, parts
# of one dispute differ, a ring says its devices in one of three ways, a setting's name is a dotted
# key.
RULED = {
    "GET /api/v1/inspections",
    "GET /api/v1/parts.csv",
    "GET /api/v1/parts.parquet",
    "POST /api/v1/labels",
    "POST /api/v1/labels/disputes",
    "PUT /api/v1/inspections/{device}/{boot}/{sequence}/review",
    "POST /api/v1/fleet/rollouts",
    "POST /api/v1/fleet/settings",
}
# Of each route, with what its description allows and with what it does not.
EXAMPLES = 6


class Described:
    """A cloud with a fleet, its description, and a token for all of it."""

    def __init__(self, app: FastAPI, token: str, clock: ManualClock) -> None:
        self.clock = clock
        self.headers = {"Authorization": f"Bearer {token}"}
        self.schema = schemathesis.openapi.from_asgi(
            "/api/v1/openapi.json", app, headers=self.headers
        )
        # Callers are known by the token; a made-up session beside it would say nothing.
        self.schema.config.generation.update(with_security_parameters=False)

    def operations(self) -> list[Any]:
        every: list[Any] = list(self.schema.get_all_operations())
        unreadable = [str(found.err()) for found in every if hasattr(found, "err")]
        assert not unreadable
        return [found.ok() for found in every]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    folder = tmp_path_factory.mktemp("described")
    records = Database(f"sqlite:///{place_migrated(Database, folder / 'records.db')}")
    clock = ManualClock(utc=NOON)
    RecordStore(records).save([inspection(1)], [tail(1)], [device()])
    access = access_to(records, clock)
    access.accounts.add("ada", "admin", SECRET, ROOT)
    token = access.tokens.add("ada", "a test", TOKEN_SCOPES, ROOT)
    fleet = fleet_of(folder / "fleet", clock)
    fleet.start()
    stopping = threading.Event()
    stopping.set()
    made = Backstage(
        records, healthy, clock=clock, services=[fleet], stopping=stopping, access=access
    )
    yield Described(create_app(made), token, clock)
    fleet.stop()
    records.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_answer_is_one_that_the_description_lacks(
    described: Described, mode: GenerationMode
) -> None:
    operations = described.operations()
    assert len(operations) > 45
    found = []
    for operation in operations:
        try:
            try_out(operation, mode, described)
        except Unsatisfiable:
            # It takes nothing, so nothing that it takes can be wrong.
            assert mode is GenerationMode.NEGATIVE
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all are told at once
            found.append(f"{operation.label}: {error}")
    assert not found, "\n\n".join(found)


def try_out(operation: Any, mode: GenerationMode, described: Described) -> None:
    excluded: list[Any] = [positive_data_acceptance] if operation.label in RULED else []

    @seed(15)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def tried(case: Case[Any]) -> None:
        # So that the wrong tokens that it tries, too, are looked at and not put off.
        described.clock.advance(600.0)
        case.call_and_validate(headers=described.headers, excluded_checks=excluded)

    tried()
