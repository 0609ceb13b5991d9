"""What inspecting took, beside sending every picture."""

from __future__ import annotations

import pytest

from cloud.app import create_app
from cloud.configuration.prices import PriceSettings
from cloud.costs.meter import CostMeter
from cloud.records.database import Database
from cloud.records.rollups import Rollups
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from shared.contracts import Decision
from tests.cloud.makers import NOON, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE, healthy

PRICES = PriceSettings(currency="CHF", network_gb=1e6, cloud_hour=3600.0, storage_gb_month=1e6)


def stock(database: Database) -> None:
    """Three parts of one line, one of them judged in the cloud, and one part of another line."""
    asked = inspection(2, decision=Decision.ESCALATE, escalated_bytes=900, decided_by="cloud")
    other = inspection(4, device="box-2", line="line-2")
    RecordStore(database).save([inspection(1), asked, inspection(3), other], [tail(2)], [])


def test_what_was_sent_stands_beside_every_picture_line_by_line(every_database: Database) -> None:
    stock(every_database)
    meter = CostMeter(every_database, Rollups(every_database), PRICES)
    found = meter.report(NOON, NOON + 60)
    one, two = found.lines
    assert (one.site, one.line, one.parts, one.escalated) == ("plant", "line-1", 3, 1)
    assert (one.sent_bytes, one.picture_bytes, one.cloud_s) == (900, 15_000, 0.004)
    assert one.per_thousand(one.sent_bytes) == 300_000
    assert (two.sent_bytes, two.picture_bytes, two.amount) == (0, 5000, 0.0)
    assert found.total.parts == 4
    # 900 B at 10⁶ for 10⁹ B, and 4 ms at 3,600 an hour.
    assert one.amount == pytest.approx(0.9 + 0.004)
    assert one.picture_amount == pytest.approx(15.0)
    assert found.storage_bytes > 50_000
    assert found.storage_month == pytest.approx(found.storage_bytes / 1000)
    assert found.cpu_s > 0
    assert meter.report(NOON + 3600, NOON + 7200).lines == []


def test_the_page_and_the_api_say_it_with_the_prices_of_the_settings(database: Database) -> None:
    stock(database)
    clock = ManualClock(utc=NOON + 60)
    caller = Caller(create_app(Backstage(database, healthy, clock=clock, prices=PRICES)), BASE)
    told = caller.get("/api/v1/costs?days=1").json()
    assert (told["total"]["sent_bytes"], told["currency"]) == (900, "CHF")
    page = caller.get("/cost?days=1").text
    for words in ("plant / line-1", "300 kB", "15.00 CHF", "Every JPEG", "33.3"):
        assert words in page, words


def test_without_prices_the_page_says_how_to_set_them(database: Database) -> None:
    clock = ManualClock(utc=NOON + 60)
    caller = Caller(create_app(Backstage(database, healthy, clock=clock)), BASE)
    page = caller.get("/cost").text
    assert "No price is set" in page
    assert "No parts came" in page
