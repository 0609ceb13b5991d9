"""Alerts over the API and on their pages, by what people may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.alerts.conditions import NAMES, AlertCondition
from cloud.alerts.store import AlertStore
from cloud.records.database import Database
from cloud.records.store import RecordStore
from tests.cloud.makers import device
from tests.cloud.web.test_access import OURS, Site, site_of

WRONG = AlertCondition(
    "reject_rate", "Half of <b>them</b> are rejected.", "Look at the parts.", "plant", "line-1"
)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    found = site_of(database, tmp_path)
    AlertStore(database).advance([WRONG], NAMES, found.clock.utc())
    RecordStore(database).save(devices=[device()])
    return found


def test_an_inspector_acknowledges_and_shelves_over_the_api(site: Site) -> None:
    ada = site.signed_in("ada", "inspector")
    found = ada.get("/api/v1/alerts/open").json()
    assert found["counts"]["unacknowledged"] == 1
    (alert,) = found["alerts"]
    address = f"/api/v1/alerts/{alert['id']}"
    seen = ada.post(f"{address}/acknowledge", headers=OURS)
    assert (seen.status_code, seen.json()["alert"]["state"]) == (200, "acknowledged")
    assert ada.post(f"{address}/acknowledge", headers=OURS).status_code == 409
    wanted = {"minutes": 30, "reason": "lamp ordered"}
    shelved = ada.post(f"{address}/shelve", json=wanted, headers=OURS).json()
    assert (shelved["alert"]["reason"], shelved["alert"]["by"]) == ("lamp ordered", "ada")
    assert [one["what"] for one in shelved["events"]] == ["raised", "acknowledged", "shelved"]
    assert ada.post(f"{address}/unshelve", headers=OURS).status_code == 200
    told = [entry for entry in site.audited() if entry[1].startswith("alert")]
    assert [what for _, what, _ in told] == [
        "alert unshelve",
        "alert shelve",
        "alert acknowledge",
    ]
    assert {who for who, _, _ in told} == {"ada"}


def test_a_viewer_reads_and_changes_nothing(site: Site) -> None:
    eve = site.signed_in("eve", "viewer")
    (alert,) = eve.get("/api/v1/alerts").json()
    assert eve.post(f"/api/v1/alerts/{alert['id']}/acknowledge", headers=OURS).status_code == 403
    page = eve.get("/alerts")
    assert page.status_code == 200
    assert "Acknowledge" not in page.text
    form = {"act": "acknowledge", "alert": alert["id"]}
    assert eve.post("/alerts", data=form, headers=OURS).status_code == 403


def test_the_page_says_what_is_wrong_what_to_do_and_what_was_done(site: Site) -> None:
    ada = site.signed_in("ada", "inspector")
    page = ada.get("/alerts").text
    assert "Half of &lt;b&gt;them&lt;/b&gt; are rejected." in page
    assert "Look at the parts." in page
    assert "1 alert not acknowledged" in ada.get("/").text
    (alert,) = ada.get("/api/v1/alerts").json()
    form = {"act": "shelve", "alert": alert["id"], "minutes": "30", "reason": "lamp & lens"}
    sent = ada.post("/alerts", data=form, headers=OURS)
    assert sent.status_code == 303
    told = ada.get(sent.headers["location"]).text
    assert "Shelved: nobody is told" in told
    assert "lamp &amp; lens" in told
    one = ada.get(f"/alerts/{alert['id']}").text
    assert "<strong>ada</strong> shelved it: lamp &amp; lens" in one
    assert ada.get("/alerts/none").status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        {"act": "acknowledge", "alert": "none"},
        {"act": "dance", "alert": "none"},
        {"act": "shelve", "minutes": "nan", "reason": "x"},
        {"act": "shelve", "minutes": "1e9", "reason": "x"},
        {},
    ],
)
def test_a_form_that_can_not_be_done_says_so(site: Site, form: dict[str, str]) -> None:
    ada = site.signed_in("ada", "inspector")
    sent = ada.post("/alerts", data=form, headers=OURS)
    assert sent.status_code == 303
    assert "told=" in sent.headers["location"]
    assert ada.get("/api/v1/alerts/open").json()["counts"]["unacknowledged"] == 1


def test_an_engineer_sets_the_rules_of_a_line_and_an_inspector_reads_them(site: Site) -> None:
    bob, ada = site.signed_in("bob", "engineer"), site.signed_in("ada", "inspector")
    form = {
        "name": "drift",
        "site": "plant",
        "line": "line-1",
        "enabled": "on",
        "limit": "0.4",
        "delay_s": "0",
        "clear_s": "60",
        "again_s": "3600",
    }
    assert ada.post("/alerts/rules", data=form, headers=OURS).status_code == 403
    assert bob.post("/alerts/rules", data=form, headers=OURS).status_code == 303
    rules = {one["name"]: one for one in ada.get("/api/v1/alerts/rules/plant/line-1").json()}
    assert (rules["drift"]["limit"], rules["drift"]["clear_s"]) == (0.4, 60)
    assert rules["no_parts"]["enabled"]
    assert 'value="0.4"' in ada.get("/alerts/rules?site=plant&line=line-1").text
    assert ("bob", "alert rule", "plant/line-1/drift") in site.audited()
    wrong = bob.post("/alerts/rules", data={**form, "again_s": "-1"}, headers=OURS)
    assert "again_s" in wrong.headers["location"]
    off = {name: value for name, value in form.items() if name not in {"limit", "enabled"}}
    bob.post("/alerts/rules", data=off, headers=OURS)
    rules = {one["name"]: one for one in ada.get("/api/v1/alerts/rules/plant/line-1").json()}
    assert (rules["drift"]["limit"], rules["drift"]["enabled"]) == (None, False)


def test_filters_are_in_the_address_and_unknown_ones_are_refused_by_name(site: Site) -> None:
    ada = site.signed_in("ada", "viewer")
    assert (
        len(ada.get("/api/v1/alerts?line=line-1&name=reject_rate&state=unacknowledged").json()) == 1
    )
    assert ada.get("/api/v1/alerts?line=line-2").json() == []
    refused = ada.get("/api/v1/alerts?devise=box-1")
    assert refused.status_code == 422
    assert "devise" in refused.text
    assert "No alert like that" in ada.get("/alerts?name=&site=&line=line-2&state=").text
    assert ada.get("/alerts/strip").json() == {
        "unacknowledged": 1,
        "acknowledged": 0,
        "shelved": 0,
    }
