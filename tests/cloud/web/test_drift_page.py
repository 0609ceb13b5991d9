"""The page of drift."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.drift.store import DriftStore, ReceivedSketch, StreamKey
from cloud.drift.stream import ReferenceLimits
from cloud.records.database import Database
from shared.topics import Address
from shared.wire import Sketch
from tests.cloud.web.test_access import OURS, Site, site_of

KEY = StreamKey("plant", "line-1", "box-1", "thin", "tiny <1>")


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    found = site_of(database, tmp_path)
    store = DriftStore(database, ReferenceLimits(reference_parts=500))
    now, address = found.clock.utc(), Address("plant", "line-1", "box-1")
    store.take(
        [
            ReceivedSketch(
                address,
                Sketch(
                    "b1", number, KEY.bundle, "thin", 1.0, 2.0, 100, {"brightness": {level: 100}}
                ),
                now - 7200 + number,
            )
            for number, level in enumerate([60, 60, 60, 60, 60, 8], start=1)
        ]
    )
    return found


def test_a_viewer_sees_what_has_changed_and_can_not_choose_the_reference(site: Site) -> None:
    eve = site.signed_in("eve", "viewer")
    page = eve.get("/drift?site=plant&line=line-1").text
    assert "line-1 / box-1, thin: not as at the beginning" in page
    assert "tiny &lt;1&gt;" in page
    assert "Too few were measured to compare score (0 of 50), sharpness (0 of 50)" in page
    assert "Compare with the next" not in page
    assert (
        eve.post("/drift", data={**KEY._asdict(), "act": "next"}, headers=OURS).status_code == 403
    )
    assert "No box has sent" in eve.get("/drift?line=line-2").text
    assert eve.get("/drift?lines=x").status_code == 422


def test_an_engineer_chooses_the_reference(site: Site) -> None:
    bob = site.signed_in("bob", "engineer")
    hour = datetime.fromtimestamp(site.clock.utc() - 7200, UTC).replace(minute=0)
    begin, end = hour.isoformat()[:16], hour.replace(hour=hour.hour + 1).isoformat()[:16]
    form = {**KEY._asdict(), "act": "span", "begin": begin, "end": end}
    sent = bob.post("/drift", data=form, headers=OURS)
    assert "600 parts are what others are compared with." in bob.get(sent.headers["location"]).text
    sent = bob.post("/drift", data={**KEY._asdict(), "act": "next"}, headers=OURS)
    page = bob.get(sent.headers["location"]).text
    assert "0 of 500 parts have come" in page
    subject = "plant/line-1/box-1/thin/tiny <1>"
    assert site.audited()[:2] == [("bob", "drift reference", subject)] * 2


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"act": "span", "begin": "now", "end": ""}, "no time"),
        ({"act": "span", "begin": "2026-01-02T00:00", "end": "2026-01-01T00:00"}, "in order"),
        ({"act": "next", "device": "box-9"}, "no such stream"),
    ],
)
def test_a_choice_that_can_not_be_is_said(site: Site, form: dict[str, str], told: str) -> None:
    bob = site.signed_in("bob", "engineer")
    sent = bob.post("/drift", data={**KEY._asdict(), **form}, headers=OURS)
    assert told in bob.get(sent.headers["location"]).text
