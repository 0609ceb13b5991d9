"""The pages of quality and of a shift: what they say, refuse, and give to programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from cloud.app import create_app
from cloud.records.database import Database
from cloud.web.context import Backstage
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from tests.bundles import make_bundle
from tests.cloud.makers import NOON, inspection
from tests.cloud.quality.test_shift_report import plant_of
from tests.cloud.thresholds.certified import certified
from tests.cloud.web.caller import Caller, access_to
from tests.cloud.web.test_api import healthy

BASE = "http://127.0.0.1"
HERE = "line=line-1&site=plant&shift=early&day=2027-01-15"


def caller_of(database: Database, bundle: Bundle | None = None) -> Caller:
    clock = ManualClock(utc=NOON + 1800)
    return Caller(
        create_app(
            Backstage(
                database,
                healthy,
                clock=clock,
                access=access_to(database, clock),
                bundles=lambda: [bundle] if bundle else [],
            )
        ),
        BASE,
    )


def test_the_quality_page_has_yield_kinds_trends_and_groups(every_database: Database) -> None:
    plant_of(every_database)
    page = caller_of(every_database).get("/quality").text
    assert "21 parts since 2027-01-09" in page
    assert "90.5 %" in page
    assert ">crack<" in page
    assert "no kind said" in page
    assert 'href="/quality?days=7&amp;line=line-2"' in page


@pytest.mark.parametrize("by", ["line", "lot", "recipe", "shift"])
def test_parts_are_compared_by_what_is_asked(database: Database, by: str) -> None:
    plant_of(database)
    page = caller_of(database).get(f"/quality?by={by}&days=30&line=line-1&shift=").text
    assert f"By {by}" in page
    assert "20 parts since" in page


def test_one_shift_of_several_days_is_shown_alone(database: Database) -> None:
    plant_of(database)
    page = caller_of(database).get("/quality?shift=late&days=3").text
    assert "No part came in this time" in page


def test_lines_are_compared_within_the_shift_that_is_asked_for(database: Database) -> None:
    plant = plant_of(database)
    # In the night before, which began on another day.
    plant.store.save([inspection(80, received_at=NOON - 4 * 3600)])
    plant.worker.roll()
    caller = caller_of(database)
    early, night = (caller.get(f"/quality?shift={name}").text for name in ("early", "night"))
    assert "21 parts since" in early
    assert "1 parts since" in night
    assert "line-2" in early
    assert "line-2" not in night


def test_without_a_part_the_pages_say_so(database: Database) -> None:
    caller = caller_of(database)
    assert "No part came in this time" in caller.get("/quality").text
    assert "No part came in this shift" in caller.get("/shift").text


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/quality?lime=line-1", "lime"),
        ("/quality?days=4000", "days"),
        ("/quality?by=weather", "by"),
        ("/shift?shift=lunch", "there is no shift lunch"),
        ("/shift?day=2031-01-01", "has begun"),
        ("/shift?day=yesterday", "day"),
        ("/shift?day=9999-12-31", "day"),
        ("/shift?linie=1", "linie"),
        ("/shift/report.csv?linie=1", "linie"),
    ],
)
def test_what_can_not_be_asked_is_refused_with_its_name(
    database: Database, address: str, told: str
) -> None:
    answer = caller_of(database).get(address)
    assert answer.status_code == 422
    assert told in answer.text


def test_a_shift_is_told_line_by_line_with_the_promise_in_force(
    every_database: Database, tmp_path: Path
) -> None:
    plant = plant_of(every_database)
    bundle = certified(make_bundle(tmp_path / "tiny"), tmp_path / "certified")
    plant.store.save([inspection(50, received_at=NOON + 400, bundle=bundle.id)])
    plant.worker.roll()
    page = caller_of(every_database, bundle).get(f"/shift?{HERE}").text
    assert "Early shift of 2027-01-15" in page
    assert "It is not over" in page
    assert "At most 10 % of defective parts pass" in page
    assert "what it promised is not known here" in page
    assert "1 done, 1 open" in page
    assert "line-2</h2>" not in page


def test_the_report_as_a_table_says_the_same(database: Database) -> None:
    plant_of(database)
    answer = caller_of(database).get("/shift/report.csv?day=2027-01-15&shift=early")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="shift-2027-01-15-early.csv"' in answer.headers["content-disposition"]
    first, second = csv.DictReader(io.StringIO(answer.text))
    assert (first["line"], first["parts"], first["rejected"]) == ("line-1", "20", "2")
    assert first["minutes_without_parts"] == "130"
    assert first["kinds"] == "no kind said: 1; crack: 1; hole: 1"
    assert second["line"] == "line-2"


def test_a_text_that_a_spreadsheet_would_run_is_defused(database: Database) -> None:
    plant = plant_of(database)
    plant.store.save([inspection(70, received_at=NOON + 300, line="=cmd()")])
    plant.worker.roll()
    answer = caller_of(database).get("/shift/report.csv?day=2027-01-15&shift=early")
    assert "'=cmd()" in answer.text


def test_markup_in_names_is_shown_as_it_is(database: Database) -> None:
    plant = plant_of(database)
    plant.store.save([inspection(71, received_at=NOON + 300, line="<b>x</b>", lot="<i>y</i>")])
    plant.worker.roll()
    caller = caller_of(database)
    for address in ("/quality?by=line", "/quality?by=lot", "/shift"):
        assert "<b>x" not in caller.get(address).text
        assert "<i>y" not in caller.get(address).text
