"""The page of parts and its files, without a browser."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pyarrow import parquet

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.search import FIRST_STRETCH
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from cloud.web.part_table import PART_COLUMNS
from shared.clock import ManualClock
from tests.cloud.makers import NOON, device, inspection, label, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import healthy

BASE = "http://127.0.0.1"
SENT: dict[str, Any] = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud"}


@pytest.fixture
def client(every_database: Database) -> Caller:
    store = RecordStore(every_database)
    store.save(
        [
            inspection(1),
            inspection(2, lot="=HYPERLINK(1)", **SENT),
            inspection(3, lot="<b>L1</b>", **SENT),
        ],
        [tail(2, kind="crack", kind_probability=0.9)],
        [device()],
    )
    store.label(label(2, verdict="reject", inspector="@schulz"))
    clock = ManualClock(utc=NOON + 60)
    return Caller(create_app(Backstage(every_database, healthy, clock=clock)), BASE)


def test_the_page_shows_what_is_asked_for_and_how_much_that_is(client: Caller) -> None:
    everything = client.get("/parts").text
    assert "<strong>3</strong> parts" in everything
    assert "/inspections/box-1/b1/3" in everything
    assert "<b>L1</b>" not in everything
    cracks = client.get("/parts", params={"kind": "crack"}).text
    assert "<strong>1</strong> part" in cracks
    assert "/inspections/box-1/b1/2" in cracks
    assert "/inspections/box-1/b1/3" not in cracks


class Ticking(ManualClock):
    """A clock on which every look takes so long."""

    def __init__(self, look_s: float) -> None:
        super().__init__(utc=NOON + 60)
        self._look_s = look_s

    def monotonic(self) -> float:
        self.advance(self._look_s)
        return super().monotonic()


@pytest.mark.parametrize(
    ("look_s", "lot", "told"),
    [
        # A look that ended before it had seen all knows of some, or of none.
        (1.0, "new", "<strong>at least 4</strong> parts"),
        (1.0, "old", "<strong>none</strong> so far"),
        # Here the count has time for the first stretch alone, and the list for both.
        (0.03, "new", "<strong>4</strong> parts"),
        (0.03, "old", "<strong>4</strong> parts"),
    ],
)
def test_a_count_says_no_more_and_no_less_than_what_was_seen(
    database: Database, look_s: float, lot: str, told: str
) -> None:
    newest = FIRST_STRETCH + 99
    lots = dict.fromkeys(range(1, 5), "old") | dict.fromkeys(range(newest - 3, newest + 1), "new")
    RecordStore(database).save([inspection(n, lot=lots.get(n, "")) for n in range(1, newest + 1)])
    app = create_app(Backstage(database, healthy, clock=Ticking(look_s)))
    asked = {"lot": lot, "escalated": "false"}
    assert told in Caller(app, BASE).get("/parts", params=asked).text


def test_an_address_says_no_more_than_what_is_asked_for(client: Caller) -> None:
    sent = {"verdict": "reject", "lot": "", "zone": "120", "since": "2027-01-15T10:00"}
    found = client.get("/parts", params=sent)
    assert found.status_code == 303
    kept = parse_qs(urlsplit(found.headers["location"]).query)
    assert kept == {"verdict": ["reject"], "since": ["1800000000"]}
    assert client.get(found.headers["location"]).status_code == 200


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"devise": "box-1"}, "devise"),
        ({"verdict": "good"}, "verdict"),
        ({"since": "yesterday"}, "since"),
        ({"since": "inf"}, "since"),
        ({"until": "1e300"}, "until"),
        ({"when": "soon"}, "when"),
        ({"when": "today", "zone": "9999"}, "zone"),
        ({"cursor": "x"}, "cursor"),
        ({"part_from": "-1"}, "part_from"),
    ],
)
def test_what_means_nothing_is_refused_by_name(
    client: Caller, asked: dict[str, str], told: str
) -> None:
    found = client.get("/parts", params=asked)
    assert found.status_code == 422
    assert told in found.text


@pytest.mark.parametrize("when", ["hour", "shift", "today", "week"])
def test_a_word_for_a_time_finds_what_came_in_it(client: Caller, when: str) -> None:
    asked = {"when": when, **({"zone": "60"} if when == "today" else {})}
    assert "<strong>3</strong>" in client.get("/parts", params=asked).text


def test_a_view_is_kept_for_who_saved_it_and_forgotten_again(client: Caller) -> None:
    view = {"name": "Rejects <now>", "query": "verdict=reject"}
    found = client.post("/parts", data=view)
    assert (found.status_code, found.headers["location"]) == (303, "/parts?verdict=reject")
    page = client.get("/parts").text
    assert "Rejects &lt;now&gt;" in page
    assert 'href="/parts?verdict=reject"' in page
    client.post("/parts", data={**view, "action": "delete"})
    assert "Rejects" not in client.get("/parts").text
    assert client.post("/parts", data={"name": " ", "query": ""}).status_code == 422


def test_a_csv_has_one_line_a_part_and_nothing_that_a_spreadsheet_would_run(
    client: Caller,
) -> None:
    found = client.get("/api/v1/parts.csv", params={"verdict": "reject"})
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert [row["part"] for row in rows] == ["3", "2"]
    assert rows[1]["lot"] == "'=HYPERLINK(1)"
    assert rows[1]["inspector"] == "'@schulz"
    assert rows[1]["received_at"].startswith("2027-01-15T08:00:02")
    assert (rows[1]["kind"], rows[1]["tail_score"], rows[0]["tail_score"]) == ("crack", "0.9", "")
    assert "attachment" in found.headers["content-disposition"]


def test_a_parquet_file_has_the_same_with_types(client: Caller) -> None:
    found = client.get("/api/v1/parts.parquet")
    table = parquet.read_table(io.BytesIO(found.content))
    assert table.column_names == list(PART_COLUMNS)
    assert table.column("part").to_pylist() == [3, 2, 1]
    assert table.column("lot").to_pylist() == ["<b>L1</b>", "=HYPERLINK(1)", ""]
    assert [at.timestamp() for at in table.column("received_at").to_pylist()] == [
        NOON + 3,
        NOON + 2,
        NOON + 1,
    ]


def test_a_file_of_nothing_still_names_its_columns(client: Caller) -> None:
    assert (
        client.get("/api/v1/parts.csv", params={"line": "none"}).text.split(",")[0] == "received_at"
    )
    found = client.get("/api/v1/parts.parquet", params={"line": "none"})
    assert parquet.read_table(io.BytesIO(found.content)).num_rows == 0
