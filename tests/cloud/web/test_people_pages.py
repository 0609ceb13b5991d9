"""People, tokens and the audit log by page, each change with its entry."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from cloud.records.database import Database
from shared.web.access import Caller, Role
from tests.cloud.web.caller import Caller as Browser
from tests.cloud.web.test_access import LOCAL, OURS, ROOT, SECRET, Site, sign_in, site_of

NEW = "another four words here"


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    return site_of(database, tmp_path)


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.signed_in("ada", "admin")


def send(browser: Browser, path: str, **fields: str) -> httpx.Response:
    return browser.post(path, data=fields, headers=OURS)


def link_in(page: httpx.Response) -> str:
    (found,) = re.findall(r'href="(/password/[^"]+)"', page.text)
    return str(found)


def invited(admin: Browser, name: str, role: Role) -> str:
    made = send(admin, "/people", name=name, role=role)
    assert made.status_code == 200
    return link_in(made)


def test_somebody_is_added_with_a_link_and_chooses_a_password_that_no_admin_knows(
    site: Site, admin: Browser
) -> None:
    link = invited(admin, "Bob", "inspector")
    assert sign_in(site.browser(), "bob", "").status_code == 401
    assert link.rpartition("/")[2] not in admin.get("/people/accounts/bob").text
    bob = site.browser()
    assert "Hello bob" in bob.get(link).text
    weak = send(bob, link, password="short")  # noqa: S106
    assert (weak.status_code, "5 characters" in weak.text) == (422, True)
    done = send(bob, link, password=NEW)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert bob.get("/api/v1/me").json()["role"] == "inspector"
    assert sign_in(site.browser(), "bob", NEW).status_code == 303
    again = send(site.browser(), link, password=NEW)
    assert (again.status_code, "works no longer" in again.text) == (404, True)
    told = [entry for entry in site.audited() if entry[2] == "bob"]
    assert ("ada", "account add", "bob") in told
    assert ("ada", "password link", "bob") in told
    assert ("bob", "account password", "bob") in told


def test_a_link_ends_with_its_time_with_a_newer_one_and_with_the_account(
    site: Site, admin: Browser
) -> None:
    first = invited(admin, "bob", "viewer")
    newer = link_in(send(admin, "/people/accounts/bob", do="link"))
    assert site.browser().get(first).status_code == 404
    assert site.browser().get(newer).status_code == 200
    site.clock.advance(73 * 3600)
    assert site.browser().get(newer).status_code == 404
    assert send(site.browser(), newer, password=NEW).status_code == 404
    root = site.browser()
    assert sign_in(root, "ada").status_code == 303
    assert send(root, "/people/accounts/bob", do="disable").status_code == 303
    assert send(root, "/people/accounts/bob", do="link").status_code == 409


def test_a_link_that_lets_somebody_choose_ends_the_sessions_of_whoever_had_the_old_password(
    site: Site, admin: Browser
) -> None:
    bob = site.signed_in("bob", "viewer")
    link = link_in(send(admin, "/people/accounts/bob", do="link"))
    assert send(site.browser(), link, password=NEW).status_code == 303
    assert bob.get("/api/v1/me").status_code == 401


def test_an_admin_changes_puts_out_and_lets_in_again(site: Site, admin: Browser) -> None:
    bob = site.signed_in("bob", "viewer")
    assert send(admin, "/people/accounts/bob", do="role", role="engineer").status_code == 303
    assert bob.get("/api/v1/me").json()["role"] == "engineer"
    page = admin.get("/people/accounts/bob").text
    assert "Its 1 open sessions end now" in page
    assert send(admin, "/people/accounts/bob", do="disable").status_code == 303
    assert bob.get("/api/v1/me").status_code == 401
    assert "put out" in admin.get("/people").text
    assert send(admin, "/people/accounts/bob", do="enable").status_code == 303
    assert sign_in(bob, "bob").status_code == 303
    (session,) = re.findall(r'name="session" value="(\w+)"', admin.get("/people/accounts/bob").text)
    ended = send(admin, "/people/accounts/bob", do="end", session=session)
    assert ended.status_code == 303
    assert bob.get("/api/v1/me").status_code == 401
    assert send(admin, "/people/accounts/bob", do="end", session=session).status_code == 409
    assert send(admin, "/people/accounts/bob", do="end all").status_code == 303
    assert [what for _, what, subject in site.audited() if subject == "bob"][:2] == [
        "sessions revoke",
        "session revoke",
    ]


@pytest.mark.parametrize("fields", [{"do": "disable"}, {"do": "role", "role": "viewer"}])
def test_the_last_admin_stays_one(site: Site, admin: Browser, fields: dict[str, str]) -> None:
    refused = send(admin, "/people/accounts/ada", **fields)
    assert (refused.status_code, "ada is the last admin" in refused.text) == (409, True)
    assert admin.get("/api/v1/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("/people", {"name": "ada", "role": "viewer"}, "the name ada is taken"),
        ("/people", {"name": "a b", "role": "viewer"}, "can't be an account's name"),
        ("/people", {"name": "bob", "role": "king"}, "is no role"),
        ("/people", {}, "is no role"),
        ("/people/accounts/nobody", {"do": "disable"}, "there is no account"),
        ("/people/accounts/ada", {"do": "sing"}, "says nothing to do"),
        ("/people/tokens", {"do": "add", "owner": "ada", "purpose": "x"}, "is no scope"),
        ("/people/tokens", {"do": "add", "owner": "ada", "scope-read": "yes"}, "is for nothing"),
        (
            "/people/tokens",
            {"do": "add", "owner": "eve", "purpose": "x", "scope-read": "yes"},
            "no account 'eve'",
        ),
        (
            "/people/tokens",
            {"do": "add", "owner": "ada", "purpose": "x", "scope-read": "yes", "days": "nan"},
            "no number of days",
        ),
        ("/people/tokens", {"do": "end", "token": "none"}, "there is no token"),
    ],
)
def test_what_can_not_be_is_said_on_the_page(
    admin: Browser, path: str, fields: dict[str, str], told: str
) -> None:
    answer = send(admin, path, **fields)
    assert answer.status_code in {404, 409}
    assert told in unescape(answer.text)


def test_a_token_is_shown_once_and_ended_by_page(site: Site, admin: Browser) -> None:
    form = {"do": "add", "owner": "ada", "purpose": "MES", "scope-read": "yes", "days": "1"}
    made = admin.post("/people/tokens", data=form, headers=OURS)
    (token,) = re.findall(r'<code class="made">(sst_\S+)</code>', made.text)
    assert token not in admin.get("/people/tokens").text
    bearer = {"authorization": f"Bearer {token}"}
    assert site.browser().get("/api/v1/devices", headers=bearer).status_code == 200
    (id_,) = re.findall(r'name="token" value="(\w+)"', admin.get("/people/tokens").text)
    assert send(admin, "/people/tokens", do="end", token=id_).status_code == 303
    assert site.browser().get("/api/v1/devices", headers=bearer).status_code == 401


@pytest.mark.parametrize("role", ["viewer", "inspector", "engineer"])
def test_nobody_but_an_admin_sees_people_or_the_audit_log(site: Site, role: Role) -> None:
    browser = site.signed_in("bob", role)
    for path in ("/people", "/people/accounts/bob", "/people/tokens", "/audit", "/audit/verify"):
        assert browser.get(path).status_code == 403, path
    assert browser.get("/audit/export.csv").status_code == 403
    assert send(browser, "/people/accounts/bob", do="role", role="admin").status_code == 403
    home = browser.get("/me").text
    assert 'href="/people"' not in home
    assert 'href="/audit"' not in home


# ---- one's own account


def test_everybody_changes_their_own_password_with_the_one_of_now(site: Site) -> None:
    bob = site.signed_in("bob", "viewer")
    wrong = send(bob, "/me", do="password", old="wrong by far", new=NEW, again=NEW)
    assert (wrong.status_code, "password of now is wrong" in wrong.text) == (409, True)
    unlike = send(bob, "/me", do="password", old=SECRET, new=NEW, again=SECRET)
    assert "are not the same" in unlike.text
    assert send(bob, "/me", do="password", old=SECRET, new=NEW, again=NEW).status_code == 303
    assert bob.get("/api/v1/me").status_code == 401
    assert sign_in(bob, "bob", NEW).status_code == 303


def test_everybody_ends_their_own_sessions_and_tokens_and_nobody_elses(site: Site) -> None:
    other = site.signed_in("bob", "viewer")
    here = site.browser()
    sign_in(here, "bob")
    eve = site.signed_in("eve", "viewer")
    (theirs,) = [one.key for one in site.access.sessions.of("eve")]
    assert send(here, "/me", do="end", session=theirs).status_code == 409
    assert eve.get("/api/v1/me").status_code == 200
    assert "this browser" in here.get("/me").text
    assert send(here, "/me", do="end others").status_code == 303
    assert (other.get("/api/v1/me").status_code, here.get("/api/v1/me").status_code) == (401, 200)
    site.access.tokens.add("eve", "hers", ["read"], ROOT)
    (token,) = site.access.tokens.all("eve")
    assert send(here, "/me", do="end token", token=token.id).status_code == 409
    assert site.access.tokens.all("eve")[0].revoked_at is None


def test_a_program_with_a_token_can_not_change_its_owners_password(site: Site) -> None:
    headers = {**site.token("admin", "read", "admin"), **OURS}
    answer = site.browser().post("/me", data={"do": "password"}, headers=headers)
    assert answer.status_code == 409


# ---- the audit log


def test_the_log_is_filtered_and_paged_by_address(site: Site, admin: Browser) -> None:
    for number in range(60):
        site.add(f"person-{number:02}", "viewer")
    page = admin.get("/audit?who=root&what=account").text
    assert "person-59" in page
    assert "person-05" not in page
    (older,) = re.findall(r'href="([^"]+)" rel="next"', page)
    assert "person-05" in admin.get(unescape(older)).text
    assert "person-07" in admin.get("/audit?subject=person-07").text
    assert "person-08" not in admin.get("/audit?subject=person-07").text
    assert "No entry is like that" in admin.get("/audit?until=2000-01-01T00:00").text


@pytest.mark.parametrize(
    "query", ["whom=ada", "since=yesterday", "before=x", "before=99999999999999999999", "before=²"]
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(admin: Browser, query: str) -> None:
    answer = admin.get(f"/audit?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.text


def test_a_filters_wildcards_are_letters(site: Site, admin: Browser) -> None:
    site.add("a_b", "viewer")
    site.add("acb", "viewer")
    page = admin.get("/audit?subject=a_b&what=account%20add").text
    assert ">a_b<" in page
    assert ">acb<" not in page


def test_the_page_says_whether_the_chain_is_whole_and_where_it_breaks(
    site: Site, admin: Browser, database: Database
) -> None:

    site.add("bob", "viewer")
    head = site.access.audit.verify().head
    assert "The chain is whole" in admin.get(f"/audit/verify?expect={head}").text
    assert "is none of this log" in admin.get(f"/audit/verify?expect={'0' * 63}1").text
    with database.begin() as connection:
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE number = 2"))
    broken = admin.get("/audit/verify").text
    assert "entry 2 is not what was written" in broken
    assert broken.rstrip().endswith("</html>")


def test_a_log_that_can_not_be_read_to_its_end_is_told_on_the_page(
    site: Site, admin: Browser, database: Database
) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit_head RENAME TO gone"))
    answer = admin.get("/audit/verify")
    assert "could not be read to its end" in answer.text
    assert "The chain is whole" not in answer.text
    assert answer.text.rstrip().endswith("</html>")


def test_the_log_is_taken_along_as_csv_in_which_no_cell_is_a_formula(
    site: Site, admin: Browser
) -> None:

    site.access.audit.record(Caller("=1+1", "admin").did("label", "@SUM(A1)", None, {"a": "b"}))
    answer = admin.get("/audit/export.csv?what=label")
    assert answer.headers["content-type"].startswith("text/csv")
    head, row = answer.text.strip().splitlines()
    assert head.startswith("number,at,who,means")
    assert "'=1+1" in row
    assert "'@SUM(A1)" in row
    assert (
        len(admin.get("/audit/export.csv").text.splitlines())
        == 1 + site.access.audit.verify().entries
    )


def test_text_of_strangers_stays_text(site: Site, admin: Browser) -> None:

    site.access.audit.record(Caller("<b>eve</b>", "admin").did("<i>x</i>", '"><script>'))
    page = admin.get("/audit").text
    assert "<b>eve" not in page
    assert "<script>" not in page


def test_who_has_no_account_sees_that_there_is_none(site: Site) -> None:

    page = site.browser(LOCAL).get("/me")
    assert (page.status_code, "Nobody has signed in here" in page.text) == (200, True)
    refused = site.browser(LOCAL).post("/me", data={"do": "end others"}, headers=OURS)
    assert refused.status_code == 409
