"""Who may do what over HTTP: each route states it, and each caller is held to it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import update
from structlog.testing import capture_logs

from cloud.accounts.access import Access
from cloud.accounts.first_account import FirstAccount
from cloud.accounts.tables import TokenRecord
from cloud.app import create_app
from cloud.dashboard.live import LiveFragments
from cloud.dashboard.stream import LOOKS, LiveStreams
from cloud.health.line_watch import LineWatch
from cloud.health.running_promise import PromiseMonitor
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from fleet.configuration.settings import FleetSettings, GatewaySettings
from fleet.identity.authority import Authority
from fleet.service import open_fleet
from shared.clock import ManualClock
from shared.errors import AccountError
from shared.plugins.services import NoTails, Service, Surroundings
from shared.transport.memory import MemoryBroker
from shared.web.access import ROLES, TOKEN_SCOPES, Caller, Role
from shared.web.roles import SAFE, stated
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, inspection
from tests.cloud.web.caller import Caller as Browser
from tests.cloud.web.caller import access_to
from tests.cloud.web.test_api import healthy

ROOT = Caller("root", "admin", means="command")
SECRET = "correct horse battery staple"  # noqa: S105 - of these tests
TOKEN = "configured-long-ago"  # noqa: S105
PLANT = "http://plant.example"
LOCAL = "http://127.0.0.1:8765"
# What every browser of today says of our own pages' forms.
OURS = {"sec-fetch-site": "same-origin"}
LABEL = "/api/v1/inspections/box-1/b1/1/review"
SAID = {"verdict": "pass", "inspector": "somebody else"}


@dataclass
class Site:
    """A cloud with one part, and what looks at its callers."""

    access: Access
    app: FastAPI
    clock: ManualClock

    def browser(self, url: str = PLANT) -> Browser:
        return Browser(self.app, url)

    def add(self, name: str, role: Role) -> None:
        self.access.accounts.add(name, role, SECRET, ROOT)

    def signed_in(self, name: str, role: Role) -> Browser:
        self.add(name, role)
        browser = self.browser()
        assert sign_in(browser, name).status_code == 303
        return browser

    def token(self, role: Role, *scopes: str) -> dict[str, str]:
        """The header of a token of a new account."""
        owner = f"{role}-{'-'.join(scopes)}"
        self.add(owner, role)
        return {"authorization": f"Bearer {self.access.tokens.add(owner, 'a test', scopes, ROOT)}"}

    def audited(self) -> list[tuple[str, str, str]]:
        return [(one.who, one.what, one.subject) for one in self.access.audit.newest(99)]


def sign_in(browser: Browser, name: str, password: str = SECRET, **headers: str):  # type: ignore[no-untyped-def]
    return browser.post(
        "/sign-in?to=/", data={"name": name, "password": password}, headers={**OURS, **headers}
    )


def site_of(database: Database, folder: Path, token: str | None = None) -> Site:
    clock = ManualClock(utc=NOON + 60)
    access = access_to(database, clock, token)
    first = FirstAccount(database, clock, folder / "link")
    app = create_app(Backstage(database, healthy, token, clock, access=access, first=first))
    RecordStore(database).save([inspection(1)])
    return Site(access, app, clock)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    return site_of(database, tmp_path)


# ---- what routes state


def fleet_of(folder: Path, clock: ManualClock) -> Service:
    Authority.create(folder, ["localhost"], clock)
    around = Surroundings(
        MemoryBroker().transport(), clock, NoTails(), None, threading.Event(), DeadWorkers()
    )
    return open_fleet(FleetSettings(folder=folder, gateway=GatewaySettings(port=0)), around)


def test_every_route_states_whom_it_serves_and_every_change_is_written_down(
    database: Database, tmp_path: Path
) -> None:
    clock = ManualClock()
    services = [fleet_of(tmp_path / "fleet", clock)]
    app = create_app(Backstage(database, healthy, clock=clock, services=services))
    found = list(stated(app.routes))
    paths = {path for _, path, _ in found}
    # All of them are looked at: the cloud's own, the plugged-in, API and pages.
    assert {"/", "/events", "/api/devices", "/fleet", "/api/fleet/rollouts", "/sign-in"} <= paths
    assert [f"{method} {path}" for method, path, wanted in found if not wanted] == []
    unwritten = [
        f"{method} {path}"
        for method, path, wanted in found
        if method not in SAFE and not any(need.what for need in wanted)
    ]
    assert unwritten == []
    public = {path for _, path, wanted in found if all(need.role is None for need in wanted)}
    assert public == {"/sign-in", "/first-account/{secret}", "/password/{secret}"}


def test_every_scope_of_a_token_opens_a_route(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    services = [fleet_of(tmp_path / "fleet", clock)]
    app = create_app(Backstage(database, healthy, clock=clock, services=services))
    needs = [need for _, _, wanted in stated(app.routes) for need in wanted]
    assert {need.scope for need in needs if need.role is not None} == set(TOKEN_SCOPES)


def test_a_route_that_states_nothing_is_for_admins_only(database: Database, tmp_path: Path) -> None:
    silent = APIRouter()
    silent.get("/api/strange")(lambda: "here")

    class Strange:
        routers = (silent,)
        pages = ()

        def start(self) -> None: ...

        def stop(self) -> None: ...

    clock = ManualClock()
    access = access_to(database, clock)
    with capture_logs() as logs:
        app = create_app(
            Backstage(database, healthy, clock=clock, services=[Strange()], access=access)
        )
    assert [one["paths"] for one in logs if one["event"] == "route_states_no_role"] == [
        ["/api/strange"]
    ]
    site = Site(access, app, clock)
    assert (
        site.browser().get("/api/v1/strange", headers=site.token("engineer", "admin")).status_code
        == 403
    )
    assert (
        site.browser().get("/api/v1/strange", headers=site.token("admin", "admin")).status_code
        == 200
    )


# ---- roles and scopes


@pytest.mark.parametrize("role", ROLES)
def test_a_person_may_do_what_their_role_allows_and_no_more(site: Site, role: Role) -> None:
    browser = site.signed_in("ada", role)
    rank = ROLES.index(role)
    assert browser.get("/api/v1/devices").status_code == 200
    assert browser.put(LABEL, json=SAID, headers=OURS).status_code == (200 if rank >= 1 else 403)
    assert browser.get("/api/v1/accounts").status_code == (200 if rank >= 3 else 403)
    assert browser.get("/api/v1/audit").status_code == (200 if rank >= 3 else 403)
    assert browser.get("/api/v1/me").json()["role"] == role


@pytest.mark.parametrize("scope", TOKEN_SCOPES)
def test_a_token_is_held_to_its_scopes_whatever_its_owner_may(site: Site, scope: str) -> None:
    headers, browser = site.token("admin", scope), site.browser()
    assert browser.get("/api/v1/devices", headers=headers).status_code == (
        200 if scope == "read" else 403
    )
    assert browser.put(LABEL, json=SAID, headers=headers).status_code == (
        200 if scope == "label" else 403
    )
    assert browser.get("/api/v1/tokens", headers=headers).status_code == (
        200 if scope == "admin" else 403
    )


def test_a_token_of_an_earlier_version_works_for_the_scopes_that_there_still_are(
    site: Site, database: Database
) -> None:
    headers = site.token("admin", "read", "admin")
    with database.begin() as connection:
        connection.execute(update(TokenRecord).values(scopes="read,rounds,admin"))
    browser = site.browser()
    assert browser.get("/api/v1/devices", headers=headers).status_code == 200
    assert browser.put(LABEL, json=SAID, headers=headers).status_code == 403
    assert browser.get("/api/v1/me", headers=headers).json()["scopes"] == ["admin", "read"]
    (listed,) = browser.get("/api/v1/tokens", headers=headers).json()
    assert listed["scopes"] == ["read", "rounds", "admin"]
    assert "read, rounds, admin" in browser.get("/people/tokens", headers=headers).text
    with pytest.raises(AccountError, match="rounds is no scope of a token"):
        site.access.tokens.add("ada", "another", ["rounds"], ROOT)


def test_a_token_may_no_more_than_its_owner(site: Site) -> None:
    headers = site.token("viewer", *TOKEN_SCOPES)
    assert site.browser().put(LABEL, json=SAID, headers=headers).status_code == 403


def test_a_role_that_was_taken_away_counts_from_the_next_request_on(site: Site) -> None:
    browser = site.signed_in("ada", "inspector")
    assert browser.put(LABEL, json=SAID, headers=OURS).status_code == 200
    site.access.accounts.set_role("ada", "viewer", ROOT)
    refused = browser.put(LABEL, json=SAID, headers=OURS)
    assert refused.status_code == 403
    assert "needs the role inspector, and ada has the role viewer" in refused.json()["error"]
    site.access.accounts.disable("ada", ROOT)
    assert browser.get("/api/v1/devices").status_code == 401


def test_a_page_that_one_may_not_see_says_so_as_a_page(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    access = access_to(database, clock)
    services = [fleet_of(tmp_path / "fleet", clock)]
    services[0].start()
    app = create_app(Backstage(database, healthy, clock=clock, services=services, access=access))
    site = Site(access, app, clock)
    browser = site.signed_in("ada", "viewer")
    assert "Approve" not in browser.get("/fleet").text
    page = browser.post(
        "/fleet/rollouts/1", data={"do": "abort"}, headers={**OURS, "accept": "text/html"}
    )
    services[0].stop()
    assert page.status_code == 403
    assert "<h1>You may not do this</h1>" in page.text


def test_the_name_of_a_label_is_the_callers_and_not_what_the_body_says(site: Site) -> None:
    browser = site.signed_in("ada", "inspector")
    answer = browser.put(LABEL, json=SAID, headers=OURS).json()
    assert answer["review"]["inspector"] == "ada"
    answer = site.browser().put(
        LABEL, json={"verdict": "reject"}, headers=site.token("inspector", "label")
    )
    assert answer.json()["review"]["inspector"] == "inspector-label"
    labels = [one for one in site.access.audit.newest(9) if one.what == "label"]
    assert [(one.who, one.subject) for one in labels] == [
        ("inspector-label", "box-1/b1/1"),
        ("ada", "box-1/b1/1"),
    ]
    assert labels[0].before == {"verdict": "pass", "kind": None, "inspector": "ada"}
    assert (labels[1].before, labels[0].means) == (None, "token")


# ---- on this machine, without an account


def test_whoever_is_on_this_machine_may_do_everything_until_there_is_an_account(site: Site) -> None:
    browser = site.browser(LOCAL)
    page = browser.get("/")
    assert "No account yet: everyone on this machine may do everything here" in page.text
    assert browser.put(LABEL, json=SAID).json()["review"]["inspector"] == "somebody else"
    assert site.audited()[0] == ("somebody else", "label", "box-1/b1/1")
    site.add("ada", "admin")
    assert browser.get("/api/v1/devices").status_code == 401
    assert browser.get("/", headers={"accept": "text/html"}).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:80:80"])
def test_another_name_for_this_machine_is_refused(site: Site, host: str) -> None:
    answer = site.browser(LOCAL).get("/api/v1/devices", headers={"host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
def test_what_a_proxy_brings_from_elsewhere_is_not_from_this_machine(site: Site, name: str) -> None:
    assert site.browser(LOCAL).get("/api/v1/devices", headers={name: "10.0.0.7"}).status_code == 401


def test_where_others_can_call_nobody_is_let_in_without_an_account(
    database: Database, tmp_path: Path
) -> None:
    access = access_to(database, ManualClock(), local=False)
    app = create_app(Backstage(database, healthy, access=access))
    assert Browser(app, LOCAL).get("/api/v1/devices").status_code == 401


# ---- forms on other sites' pages


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://elsewhere.example"},
    {"origin": "null"},
    {"origin": f"{PLANT}.evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    "path", [LABEL, "/api/v1/tokens", "/sign-out", "/api/v1/accounts/ada/password"]
)
def test_a_session_changes_nothing_for_another_sites_page(
    site: Site, path: str, headers: dict[str, str]
) -> None:
    browser = site.signed_in("ada", "admin")
    before = site.audited()
    for call in (browser.put, browser.post, browser.patch, browser.delete):
        answer = call(path, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.json()["error"]
    assert site.audited() == before
    assert browser.get("/api/v1/me").status_code == 200


def test_a_session_without_a_word_of_where_the_form_is_from_changes_nothing(site: Site) -> None:
    assert site.signed_in("ada", "admin").put(LABEL, json=SAID).status_code == 403


def test_a_page_of_ours_is_known_by_its_origin_where_the_browser_says_no_more(site: Site) -> None:
    browser = site.signed_in("ada", "admin")
    assert browser.put(LABEL, json=SAID, headers={"origin": PLANT}).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_nobody_signs_others_in_from_another_sites_page(
    site: Site, headers: dict[str, str]
) -> None:
    site.add("ada", "viewer")
    answer = site.browser().post(
        "/sign-in", data={"name": "ada", "password": SECRET}, headers=headers
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_token_needs_no_origin(site: Site) -> None:
    headers = {**site.token("inspector", "label"), "sec-fetch-site": "cross-site"}
    assert site.browser().put(LABEL, json=SAID, headers=headers).status_code == 200


# ---- signing in and out


def test_a_person_signs_in_and_out(site: Site) -> None:
    site.add("ada", "inspector")
    browser = site.browser()
    sent_away = browser.get("/inspections/a/b/1?x=1", headers={"accept": "text/html"})
    assert sent_away.headers["location"] == "/sign-in?to=/inspections/a/b/1%3Fx%3D1"
    welcome = browser.post(
        sent_away.headers["location"], data={"name": " Ada ", "password": SECRET}, headers=OURS
    )
    assert welcome.headers["location"] == "/inspections/a/b/1?x=1"
    cookie = welcome.headers["set-cookie"]
    assert ("HttpOnly" in cookie, "Secure" in cookie, "SameSite=lax" in cookie) == (
        True,
        False,
        True,
    )
    assert "ada, inspector" in browser.get("/").text
    assert browser.post("/sign-out", headers=OURS).headers["location"] == "/sign-in"
    assert browser.get("/api/v1/devices").status_code == 401
    assert site.audited()[:2] == [("ada", "sign out", "ada"), ("ada", "sign in", "ada")]


def test_over_https_the_cookie_never_travels_in_the_open(site: Site) -> None:
    site.add("ada", "viewer")
    welcome = sign_in(site.browser("https://plant.example"), "ada")
    assert "Secure" in welcome.headers["set-cookie"]


def test_a_session_that_is_over_leads_to_sign_in_and_back_from_parts_of_a_page_too(
    site: Site,
) -> None:
    browser = site.signed_in("ada", "viewer")
    site.clock.advance(5 * 3600)
    part = browser.get(
        "/fleet/devices/part",
        headers={"hx-request": "true", "hx-current-url": f"{PLANT}/fleet?site=plant"},
    )
    assert part.status_code == 401
    assert part.headers["hx-redirect"] == "/sign-in?to=/fleet%3Fsite%3Dplant"
    assert browser.get("/events", headers={"accept": "text/event-stream"}).status_code == 401


def test_a_stream_ends_when_its_session_does(site: Site, database: Database) -> None:
    clock = site.clock
    promises = PromiseMonitor(database, dict)
    watch = LineWatch(database, healthy, promises, clock)
    live = LiveFragments(Records(database), watch, clock)
    asked = []

    def stays() -> bool:
        asked.append(True)
        return len(asked) < 3

    streams = LiveStreams(live.fragments, threading.Event(), pause_s=0)

    async def read() -> int:
        return len([text async for text in streams.hear(stays=stays)])

    assert asyncio.run(asyncio.wait_for(read(), 30)) >= 1
    assert len(asked) == 3
    assert LOOKS > 1


def test_a_visit_knows_whether_its_session_still_stands(site: Site) -> None:
    site.add("ada", "viewer")
    cookie = site.access.sessions.open("ada", ROOT)

    class Asked:
        headers = {"host": "plant.example"}  # noqa: RUF012
        cookies = {"splitsight": cookie}  # noqa: RUF012
        client = None

    visit = site.access.visit(Asked())  # type: ignore[arg-type]
    assert visit.stays()
    site.access.sessions.revoke_all("ada", ROOT)
    assert not visit.stays()


# ---- the configuration's one token


@pytest.fixture
def old(database: Database, tmp_path: Path) -> Site:
    return site_of(database, tmp_path, TOKEN)


def test_the_configured_token_may_do_everything_as_before(old: Site) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    browser = old.browser()
    assert browser.put(LABEL, json=SAID, headers=headers).json()["review"]["inspector"] == (
        "somebody else"
    )
    assert browser.get("/api/v1/accounts", headers=headers).status_code == 200
    assert old.browser(LOCAL).get("/api/v1/devices").status_code == 401


def test_a_session_of_the_configured_token_ends_with_it(old: Site, database: Database) -> None:
    browser = old.browser()
    assert sign_in(browser, "", TOKEN).status_code == 303
    assert browser.get("/api/v1/me").json()["means"] == "configured token"
    other = access_to(database, old.clock, "another-token-of-today")
    changed = create_app(Backstage(database, healthy, clock=old.clock, access=other))
    browser._app = changed
    assert browser.get("/api/v1/me").status_code == 401


# ---- guesses


def test_guessed_passwords_are_slowed_down_told_and_kept_from_the_memory_of_argon2(
    site: Site,
) -> None:
    site.add("ada", "admin")
    stranger = site.browser()
    with capture_logs() as logs:
        answers = [sign_in(stranger, "ada", f"guess number {n}").status_code for n in range(30)]
    assert answers == [401] * 6 + [429] * 24
    assert [
        one["count"] for one in logs if one["event"] == "guesses" and one["by"] == "account"
    ] == [
        1,
        10,
    ]
    assert int(sign_in(stranger, "ada", "again").headers["retry-after"]) >= 1
    assert ("", "sign in failed", "ada") in site.audited()


def test_a_stranger_does_not_lock_out_the_admin(site: Site) -> None:
    home = site.signed_in("ada", "admin")
    site.clock.advance(20 * 3600)
    assert home.get("/api/v1/me").status_code == 401
    stranger = site.browser()
    for number in range(50):
        sign_in(stranger, "ada", f"guess number {number}")
    # From where she signed in before, at once; from anywhere else, some seconds later.
    assert sign_in(home, "ada").status_code == 303
    elsewhere = site.browser()
    assert sign_in(elsewhere, "ada").status_code in {303, 429}
    site.clock.advance(8)
    assert sign_in(elsewhere, "ada").status_code == 303


def test_a_known_browser_is_no_way_around_either(site: Site) -> None:
    home = site.signed_in("ada", "admin")
    answers = [sign_in(home, "ada", f"guess number {n}").status_code for n in range(10)]
    assert answers == [401] * 6 + [429] * 4


def test_a_name_that_nobody_has_is_told_nowhere(site: Site) -> None:
    with capture_logs() as logs:
        assert sign_in(site.browser(), "my secret typed too early").status_code == 401
    assert "my secret" not in str(logs)
    assert "my secret" not in str(site.access.audit.newest(9))


def test_guessed_tokens_are_told_once_and_stopped_and_good_ones_go_on(site: Site) -> None:
    good = site.token("viewer", "read")
    browser = site.browser()
    assert browser.get("/api/v1/devices", headers=good).status_code == 200
    with capture_logs() as logs:
        answers = [
            browser.get(
                "/api/v1/devices", headers={"authorization": f"Bearer guess{n}"}
            ).status_code
            for n in range(400)
        ]
    assert answers == [401] * 11 + [429] * 389
    assert [one["count"] for one in logs if one["event"] == "guesses"] == [1, 10, 100]
    assert browser.get("/api/v1/devices", headers=good).status_code == 200
    assert [one for one in site.audited() if one[1] == "token guessed"] == [
        ("", "token guessed", "127.0.0.1")
    ] * 3


# ---- the first account


@pytest.fixture
def founded(site: Site, database: Database, tmp_path: Path) -> tuple[Site, str, Path]:
    file = tmp_path / "link"
    first = FirstAccount(database, site.clock, file)
    with capture_logs() as logs:
        first.offer("http://plant.example")
    (told,) = [one for one in logs if one["event"] == "no_account_yet"]
    address = str(told["make_one_at"])
    assert file.read_text() == f"{address}\n"
    return site, address.removeprefix("http://plant.example"), file


def make(browser: Browser, path: str, name: str = "ada", password: str = SECRET):  # type: ignore[no-untyped-def]
    return browser.post(path, data={"name": name, "password": password}, headers=OURS)


def test_the_first_account_is_made_with_a_link_that_works_once(
    founded: tuple[Site, str, Path],
) -> None:
    site, path, file = founded
    assert file.stat().st_mode & 0o777 == 0o600
    browser = site.browser()
    assert browser.get(path).status_code == 200
    assert make(browser, path, password="short").status_code == 422  # noqa: S106
    assert make(browser, path).status_code == 303
    assert browser.get("/api/v1/me").json() == {
        "name": "ada",
        "role": "admin",
        "scopes": None,
        "means": "session",
    }
    assert not file.exists()
    assert browser.get(path).status_code == 404
    assert make(site.browser(), path, "eve").status_code == 422
    assert [one.name for one in site.access.accounts.all()] == ["ada"]


def test_the_link_is_good_for_a_day_and_for_nothing_where_there_is_an_account(
    founded: tuple[Site, str, Path],
) -> None:
    site, path, _ = founded
    browser = site.browser()
    assert make(browser, path[:-1]).status_code == 422
    site.add("bob", "viewer")
    assert make(browser, path).status_code == 422
    site.clock.advance(24 * 3600)
    assert browser.get(path).status_code == 404


# ---- while the database is away


def test_who_was_let_in_may_look_on_and_change_nothing_while_the_database_is_away(
    site: Site, database: Database
) -> None:
    browser = site.signed_in("ada", "admin")
    assert browser.get("/api/v1/health").status_code == 200
    locked = site.access.sessions._database
    database.engine.dispose()
    path = Path(str(database.engine.url.database))
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    try:
        assert browser.get("/api/v1/health").status_code == 200
        assert browser.put(LABEL, json=SAID, headers=OURS).status_code == 403
        assert (
            site.browser().get("/api/v1/health", headers={"cookie": "splitsight=x"}).status_code
            == 503
        )
    finally:
        locked.close()
        path.rmdir()
        path.with_suffix(".away").rename(path)
