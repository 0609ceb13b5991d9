"""The HTTP API, its token, and the pages without a browser."""

from __future__ import annotations

import html
import re

import cv2
import numpy as np
import pytest

from cloud.app import create_app, openapi
from cloud.health.monitor import BrokerHealth, DatabaseHealth, QueueHealth, ServiceHealth
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from cloud.web.sign_in import local
from shared.clock import ManualClock
from shared.inspection import LINE_COLUMNS, NOVELTY_FIELD, InspectionColumn
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller

TOKEN = "correct horse battery"  # noqa: S105
BASE = "http://127.0.0.1"


def healthy() -> ServiceHealth:
    return ServiceHealth(
        ok=True,
        problems=[],
        broker=BrokerHealth(connected=True, address="127.0.0.1:1883", embedded=True),
        database=DatabaseHealth(answers=True, url="sqlite://", waiting=0, let_go=0),
        tails=[],
        queue=QueueHealth(waiting=0, dropped=0),
        counts={},
    )


def ailing() -> ServiceHealth:
    return healthy().model_copy(update={"ok": False, "problems": ["The broker is away."]})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc=NOON + 60)


@pytest.fixture
def client(database: Database, clock: ManualClock) -> Caller:
    return Caller(create_app(Backstage(database, healthy, clock=clock)), BASE)


@pytest.fixture
def guarded(database: Database) -> Caller:
    app = create_app(Backstage(database, healthy, token=TOKEN))
    return Caller(app, "http://plant.example")


@pytest.fixture
def stocked(database: Database) -> None:
    sent = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud"}
    rows = [inspection(1), inspection(2, escalated_bytes=400, **sent), inspection(3)]
    RecordStore(database).save(rows, [tail(2)], [device()])


@pytest.mark.usefixtures("stocked")
def test_inspections_come_in_pages(client: Caller) -> None:
    first = client.get("/api/v1/inspections", params={"limit": 2}).json()
    assert [row["part"] for row in first["inspections"]] == [3, 2]
    assert first["inspections"][1]["tail"]["verdict"] == "reject"
    rest = client.get("/api/v1/inspections", params={"limit": 2, "cursor": first["next"]}).json()
    assert [row["part"] for row in rest["inspections"]] == [1]
    assert rest["next"] is None
    chosen = client.get("/api/v1/inspections", params={"verdict": "reject", "part_from": 2}).json()
    assert [row["part"] for row in chosen["inspections"]] == [2]


@pytest.mark.usefixtures("stocked")
def test_one_inspection_and_its_defect_map(client: Caller) -> None:
    assert client.get("/api/v1/inspections/box-1/b1/2").json()["decided_by"] == "cloud"
    picture = client.get("/api/v1/inspections/box-1/b1/2/map.png")
    assert picture.headers["content-type"] == "image/png"
    pixels = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (320, 320, 3)


@pytest.mark.usefixtures("stocked")
def test_devices_counts_summary_and_health(client: Caller) -> None:
    assert [found["device"] for found in client.get("/api/v1/devices").json()] == ["box-1"]
    counts = client.get("/api/v1/counts", params={"minutes": 5}).json()
    assert len(counts["minutes"]) == 5
    assert sum(minute["edge"] for minute in counts["minutes"]) == 2
    assert client.get("/api/v1/summary").json()["escalated_bytes"] == 400
    assert client.get("/api/v1/health").json()["ok"] is True


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/inspections/box-1/b1/99", 404, "there is no inspection"),
        ("/api/v1/inspections/box-1/b1/1/map.png", 404, "there is no defect map"),
        ("/api/v1/inspections/box-1/b1/zero", 422, "sequence"),
        ("/api/v1/inspections?verdict=maybe", 422, "verdict"),
        ("/api/v1/inspections?cursor=abc", 422, "none of ours"),
        ("/api/v1/nothing", 404, "/api/v1/nothing"),
    ],
)
def test_a_wrong_request_is_told_what_to_do(
    client: Caller, path: str, status: int, said: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert said in told["detail"]
    # Where programs read it that were written for the release before.
    assert told["error"] == told["detail"]
    assert told["fix"]


def test_without_its_tables_the_database_is_named_as_the_problem() -> None:
    client = Caller(create_app(Backstage(Database("sqlite://"), healthy)), BASE)
    answer = client.get("/api/v1/devices")
    assert answer.status_code == 503
    assert "database" in answer.json()["error"]
    page = client.get("/")
    assert (page.status_code, "database" in page.json()["error"]) == (503, True)


def test_ill_health_is_a_503_and_on_the_page(database: Database) -> None:
    client = Caller(create_app(Backstage(database, ailing)), BASE)
    assert client.get("/api/v1/health").status_code == 503
    assert "The broker is away." in client.get("/").text


PROTECTED = ("/", "/events", "/api/v1/inspections", "/api/v1/openapi.json", "/inspections/a/b/1")


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic x", "Bearer ", f"bearer {TOKEN}x"])
def test_nothing_is_read_without_the_token(guarded: Caller, path: str, given: str | None) -> None:
    headers = {"cookie": f"splitsight={'0' * 64}"}
    answer = guarded.get(path, headers=headers | ({"authorization": given} if given else {}))
    assert answer.status_code == 401
    assert "splitsight cloud token add" in answer.json()["fix"]


def test_a_program_signs_in_with_the_token(guarded: Caller) -> None:
    answer = guarded.get("/api/v1/devices", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_person_signs_in_with_the_form(guarded: Caller) -> None:
    sent_away = guarded.get("/inspections/a/b/1", headers={"accept": "text/html"})
    assert (sent_away.status_code, sent_away.headers["location"]) == (
        303,
        "/sign-in?to=/inspections/a/b/1",
    )
    assert guarded.post("/sign-in", data={"password": "wrong"}).status_code == 401
    welcome = guarded.post("/sign-in?to=/", data={"password": TOKEN})
    cookie = welcome.headers["set-cookie"]
    assert welcome.headers["location"] == "/"
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/").status_code == 200


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
def test_signing_in_never_leads_to_another_site(to: str) -> None:
    assert local(to) == "/"


def test_another_name_for_this_machine_is_refused_without_a_token(client: Caller) -> None:
    assert client.get("/api/v1/devices", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/api/v1/devices", "/static/live.js"])
def test_every_answer_forbids_inline_and_foreign_code(client: Caller, path: str) -> None:
    policy = client.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_an_empty_plant_says_what_to_do(client: Caller) -> None:
    page = client.get("/").text
    assert "start an edge agent" in page
    assert "Waiting for the first device" in page


@pytest.mark.usefixtures("stocked")
def test_the_detail_page_tells_how_the_part_was_decided(client: Caller) -> None:
    page = client.get("/inspections/box-1/b1/2").text
    assert "The head was not sure" in page
    assert "Decided by the cloud, in time" in page
    assert client.get("/inspections/box-1/b1/99").status_code == 404


@pytest.mark.parametrize("column", LINE_COLUMNS, ids=lambda column: column.name)
def test_what_the_line_says_of_a_part_is_on_its_page_and_can_be_asked_for(
    client: Caller, database: Database, column: InspectionColumn
) -> None:
    RecordStore(database).save([inspection(1, **{column.name: "X <7>"}), inspection(2)])
    for sequence, text in ((1, "X <7>"), (2, "")):
        address = f"inspections/box-1/b1/{sequence}"
        assert client.get(f"/api/v1/{address}").json()[column.name] == text
        page = client.get(f"/{address}").text
        shown = f"<dt>{column.stored.title}</dt><dd>X &lt;7&gt;</dd>"
        assert (shown in page) == bool(text)
        assert (f"<dt>{column.stored.title}</dt>" in page) == bool(text)
    chosen = client.get("/api/v1/inspections", params={column.name: "X <7>"}).json()
    assert [row["part"] for row in chosen["inspections"]] == [1]


def test_what_plug_ins_say_of_a_part_is_on_its_page_and_in_the_api(
    client: Caller, database: Database
) -> None:
    fields = {"weight_g": 12.5, "tool": "<b>7"}
    RecordStore(database).save([inspection(1, fields=fields)], [tail(2)])
    assert client.get("/api/v1/inspections/box-1/b1/1").json()["fields"] == fields
    page = client.get("/inspections/box-1/b1/1").text
    assert "<dt>weight_g</dt><dd>12.5</dd>" in page
    assert "<dt>tool</dt><dd>&lt;b&gt;7</dd>" in page
    assert client.get("/api/v1/inspections/box-1/b1/2").json()["fields"] is None
    assert client.get("/inspections/box-1/b1/2").status_code == 200


@pytest.mark.parametrize(
    ("decision", "then"), [("escalate", "So the device sent"), ("review", "a ")]
)
def test_a_part_unlike_anything_seen_says_so_on_its_page(
    client: Caller, database: Database, decision: str, then: str
) -> None:
    strange = {"decision": decision, "verdict": "review", "fields": {NOVELTY_FIELD: 3.5}}
    RecordStore(database).save(
        [inspection(1, **strange), inspection(2, **strange | {"fields": {}})]
    )
    page = client.get("/inspections/box-1/b1/1").text
    assert "It looks like nothing the network was shown: its score was" in page
    assert then in page
    assert "The head was not sure" not in page
    assert "<dt>novelty</dt><dd>3.5</dd>" in page
    assert "The head was not sure" in client.get("/inspections/box-1/b1/2").text


def test_a_control_part_does_not_say_that_it_is_novel_before_a_person_has_looked(
    client: Caller, database: Database
) -> None:
    drawn = {"verdict": "review", "control": "review", "fields": {NOVELTY_FIELD: 3.5}}
    RecordStore(database).save([inspection(1, **drawn)])
    page = client.get("/inspections/box-1/b1/1").text
    assert "drawn at random" in page
    assert "novelty" not in page


def test_the_pages_name_the_kind_of_defect_and_what_was_sent_coarser(
    client: Caller, database: Database
) -> None:
    sent = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud"}
    answer = tail(1, kind="crack", kind_probability=0.934, coarseness=4)
    RecordStore(database).save([inspection(1, **sent), inspection(2, **sent)], [answer, tail(2)])
    told = client.get("/api/v1/inspections/box-1/b1/1").json()["tail"]
    assert (told["kind"], told["kind_probability"], told["coarseness"]) == ("crack", 0.934, 4)
    detail = client.get("/inspections/box-1/b1/1").text
    assert "crack, 0.93" in detail
    assert "sent coarser ×4" in detail
    # In the strip of the last parts, and among the defects.
    assert client.get("/").text.count("crack, 0.93") == 2
    plain = client.get("/inspections/box-1/b1/2").text
    assert "<dt>Kind of defect" not in plain
    assert "coarser" not in plain


def test_a_name_from_a_device_can_not_become_code(client: Caller, database: Database) -> None:
    RecordStore(database).save(
        [inspection(1, verdict="reject", source="<script>alert(1)</script>")]
    )
    assert "<script>alert" not in client.get("/inspections/box-1/b1/1").text


def test_an_address_that_leads_nowhere_gives_a_person_a_page_and_a_program_a_problem(
    client: Caller,
) -> None:
    page = client.get("/inspection", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "There is no page at this address" in page.text
    assert '<a href="/">' in page.text
    assert client.get("/inspection").json()["fix"]
    assert client.get("/api/v1/nothing", headers={"accept": "text/html"}).json()["fix"]


def test_a_filter_that_is_none_gives_a_person_a_page_and_a_program_a_problem(
    client: Caller,
) -> None:
    page = client.get("/?shift=late", headers={"accept": "text/html"})
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")
    assert "nothing here is called &#39;shift&#39;" in page.text
    assert client.get("/?shift=late").json()["fix"]


def test_a_strip_of_parts_stands_still_and_goes_back(client: Caller, database: Database) -> None:
    RecordStore(database).save([inspection(number) for number in range(1, 61)])
    moving = client.get("/").text
    assert "Part 60</span>" in moving
    assert "Part 36</span>" not in moving
    (older,) = re.findall(r'href="(/\?[^"]*before=[^"]*)#strip"', moving)
    still = client.get(html.unescape(older)).text
    assert "Part 36</span>" in still
    assert "Part 12</span>" not in still
    assert "these stand still" in still
    assert client.get("/?before=nonsense").status_code == 422


def test_each_line_has_numbers_and_a_page_of_its_own(client: Caller, database: Database) -> None:
    RecordStore(database).save(
        [
            inspection(1, decision="escalate", verdict="reject", decided_by="cloud"),
            inspection(2, line="line-2", score=0.25),
        ]
    )
    both = client.get("/").text
    assert 'id="line-plant-line-1"' in both
    assert 'id="line-plant-line-2"' in both
    assert "1 by the cloud, 0 by a person" in both
    one = client.get("/?site=plant&line=line-2").text
    assert 'id="line-plant-line-1"' not in one
    assert "head 0.250" in one
    assert 'data-stream="/events?site=plant&line=line-2"' in html.unescape(one)


def test_the_page_of_a_line_shows_its_last_defects_whatever_other_lines_had_since(
    client: Caller, database: Database
) -> None:
    quiet = inspection(1, line="line-2", device="box-2", verdict="reject")
    RecordStore(database).save([quiet, *(inspection(n, verdict="reject") for n in range(2, 40))])
    page = client.get("/?site=plant&line=line-2").text
    assert 'id="d-box-2-b1-1"' in page
    assert 'id="d-box-1' not in page


def test_the_api_description_names_routes_under_their_version() -> None:
    assert set(openapi()["paths"]) >= {
        "/api/v1/inspections",
        "/api/v1/inspections/{device}/{boot}/{sequence}",
        "/api/v1/inspections/{device}/{boot}/{sequence}/map.png",
        "/api/v1/inspections/{device}/{boot}/{sequence}/review",
        "/api/v1/devices",
        "/api/v1/counts",
        "/api/v1/summary",
        "/api/v1/promise",
        "/api/v1/health",
        "/api/v1/me",
        "/api/v1/accounts",
        "/api/v1/accounts/{name}",
        "/api/v1/accounts/{name}/password",
        "/api/v1/accounts/{name}/sessions",
        "/api/v1/tokens",
        "/api/v1/tokens/{id}",
        "/api/v1/audit",
    }


@pytest.mark.usefixtures("stocked")
def test_an_inspector_says_what_a_part_was(client: Caller) -> None:
    said = {"verdict": "reject", "kind": "crack", "inspector": "schulz"}
    answer = client.put("/api/v1/inspections/box-1/b1/1/review", json=said)
    assert answer.status_code == 200
    undelivered = {"delivered_at": None, "has_picture": None, "settles": False}
    assert answer.json()["review"] == {**said, "reviewed_at": NOON + 60, **undelivered}
    assert answer.json()["verdict"] == "pass"
    waiting = client.get("/api/v1/inspections", params={"doubtful": True, "reviewed": False}).json()
    assert [row["part"] for row in waiting["inspections"]] == [2]
    client.put("/api/v1/inspections/box-1/b1/2/review", json={**said, "kind": None})
    waiting = client.get("/api/v1/inspections", params={"doubtful": True, "reviewed": False}).json()
    assert waiting["inspections"] == []


@pytest.mark.usefixtures("stocked")
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"verdict": "maybe", "inspector": "schulz"}, "verdict"),
        ({"verdict": "review", "inspector": "schulz"}, "'pass' or 'reject'"),
        ({"verdict": "pass"}, "inspector"),
        ({"verdict": "pass", "inspector": ""}, "inspector"),
        ({"verdict": "pass", "inspector": "schulz", "kind": "crack"}, "leave out `kind`"),
        ({"verdict": "pass", "inspector": "schulz", "note": "x"}, "note"),
    ],
)
def test_a_review_that_cannot_be_meant_is_refused(
    client: Caller, said: dict[str, str], why: str
) -> None:
    answer = client.put("/api/v1/inspections/box-1/b1/1/review", json=said)
    assert answer.status_code == 422
    assert why in answer.json()["error"]
    assert client.get("/api/v1/inspections/box-1/b1/1").json()["review"] is None


@pytest.mark.usefixtures("stocked")
def test_a_review_of_a_part_that_nobody_inspected_is_refused(client: Caller) -> None:
    said = {"verdict": "pass", "inspector": "schulz"}
    answer = client.put("/api/v1/inspections/box-1/b1/77/review", json=said)
    assert answer.status_code == 404
    assert "there is no inspection box-1/b1/77" in answer.json()["error"]


def test_a_review_needs_the_token(guarded: Caller) -> None:
    said = {"verdict": "pass", "inspector": "schulz"}
    assert guarded.put("/api/v1/inspections/box-1/b1/1/review", json=said).status_code == 401


def test_a_part_to_review_is_shown_with_word_and_sign_and_who_settled_it(
    client: Caller, database: Database
) -> None:
    sent = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    RecordStore(database).save([inspection(1, **sent)], [tail(1, verdict="review")])
    page = client.get("/inspections/box-1/b1/1").text
    assert '<span class="verdict review"><span aria-hidden="true">?</span> review</span>' in page
    assert "Verdict: review. Decided by the cloud, in time." in page
    assert "It waits for an inspector." in page
    live = client.get("/").text
    assert re.search(r"To review</dt><dd class=\"figure\"><a [^>]*>1</a>", live)
    said = {"verdict": "reject", "kind": "crack", "inspector": "schulz"}
    answer = client.put("/api/v1/inspections/box-1/b1/1/review", json=said).json()
    assert (answer["verdict"], answer["decided_by"]) == ("reject", "inspector")
    assert (answer["line_verdict"], answer["line_decided_by"]) == ("review", "cloud")
    assert answer["review"]["settles"] is True
    page = client.get("/inspections/box-1/b1/1").text
    assert "Verdict: review. Decided by the cloud, in time." in page
    assert "An inspector has settled it since: reject." in page
    assert "waits for an inspector" not in page


def test_an_inspector_who_speaks_after_the_part_was_shipped_is_told_so(
    client: Caller, database: Database
) -> None:
    RecordStore(database).save([inspection(1)])
    said = {"verdict": "reject", "inspector": "schulz"}
    answer = client.put("/api/v1/inspections/box-1/b1/1/review", json=said)
    assert answer.status_code == 200
    assert answer.json()["review"]["settles"] is False
    page = client.get("/inspections/box-1/b1/1").text
    assert "the part had already gone as pass, which stays its verdict." in page


def test_a_part_reviewed_at_the_edge_tells_that_there_was_nobody_to_ask(
    client: Caller, database: Database
) -> None:
    RecordStore(database).save([inspection(1, decision="review", verdict="review")])
    page = client.get("/inspections/box-1/b1/1").text
    assert "There is no cloud to ask, so a person shall look." in page
