"""What the page of review says of a part, without a browser."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.app import create_app
from cloud.pictures.base import PictureRules
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE, healthy

ITEM = "/review/item?item=box-1/b1/1"
WAITS: dict[str, Any] = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}


def item(database: Database, rules: PictureRules | None = None, **changes: Any) -> str:
    """The part before an inspector, as HTML."""
    store = RecordStore(database)
    store.save([inspection(1, **{**WAITS, **changes})], [tail(1, verdict="review")])
    backstage = Backstage(
        database, healthy, clock=ManualClock(utc=NOON + 60), picture_rules=rules or PictureRules()
    )
    return Caller(create_app(backstage), BASE).get(ITEM).text


def test_a_part_whose_box_is_there_is_asked_for_its_picture(database: Database) -> None:
    RecordStore(database).save(devices=[device()])
    page = item(database)
    assert 'data-picture="ready" data-map="tail"' in page
    assert "/map.png" in page


@pytest.mark.parametrize(
    ("rules", "changes", "state", "says"),
    [
        (PictureRules("never"), {}, "kept", "This cloud shows no pictures of plant: the map alone"),
        (PictureRules(), {"digest": "none"}, "none", "box-1 has kept no picture of it: the map"),
        (PictureRules(), {}, "away", "box-1 is away, last heard of"),
    ],
)
def test_where_there_is_no_picture_one_line_says_why(
    database: Database, rules: PictureRules, changes: dict[str, str], state: str, says: str
) -> None:
    RecordStore(database).save(devices=[device(state="offline")])
    page = item(database, rules, **changes)
    assert f'data-picture="{state}"' in page
    assert says in page
    assert "/map.png" in page


def test_a_control_part_has_its_picture_and_no_map(database: Database) -> None:
    RecordStore(database).save(devices=[device()])
    page = item(database, control="reject")
    assert 'data-picture="ready" data-map=""' in page
    assert "map.png" not in page
    assert "'s map" not in page


def test_what_the_edge_decided_has_the_map_that_its_box_makes_again(database: Database) -> None:
    store = RecordStore(database)
    store.save([inspection(1, verdict="reject", decided_by="deadline")], [], [device()])
    backstage = Backstage(database, healthy, clock=ManualClock(utc=NOON + 60))
    page = Caller(create_app(backstage), BASE).get(ITEM).text
    assert 'data-map="head"' in page
