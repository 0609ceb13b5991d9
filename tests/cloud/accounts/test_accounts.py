"""Accounts, sessions and tokens in the database."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from cloud.accounts.access import Access
from cloud.accounts.passwords import Passwords
from cloud.records.database import Database
from shared.clock import ManualClock
from shared.errors import AccountError
from shared.web.access import Caller, Role
from tests.cloud.web.caller import access_to

ROOT = Caller("root", "admin", means="command")
SECRET = "correct horse battery staple"  # noqa: S105 - of these tests
HOUR_S = 3600.0


@dataclass
class Desk:
    access: Access
    clock: ManualClock
    database: Database

    def add(self, name: str = "ada", role: Role = "engineer") -> None:
        self.access.accounts.add(name, role, SECRET, ROOT)

    def cookie(self, name: str = "ada") -> str:
        return self.access.sessions.open(name, Caller(name, "viewer", address="10.0.0.7"))

    def everything_stored(self) -> str:
        with self.database.begin() as connection:
            tables = ("accounts", "sessions", "tokens", "first_account_links", "audit")
            return str([connection.execute(text(f"SELECT * FROM {t}")).all() for t in tables])  # noqa: S608


@pytest.fixture
def desk(every_database: Database) -> Desk:
    clock = ManualClock()
    return Desk(access_to(every_database, clock), clock, every_database)


def test_a_person_is_known_by_their_password_alone(desk: Desk) -> None:
    desk.add()
    found = desk.access.accounts.recognise("ada", SECRET)
    assert found is not None
    assert (found.name, found.role) == ("ada", "engineer")
    for name, password in (("ada", SECRET + "r"), ("ada", ""), ("eve", SECRET), ("", SECRET)):
        assert desk.access.accounts.recognise(name, password) is None
    assert SECRET not in desk.everything_stored()


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "5 characters"),
        ("a" * 300, "too long"),
        ("x" * 20, "same few"),
        ("ada-ada-ada!", "made of"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(desk: Desk, password: str, said: str) -> None:
    with pytest.raises(AccountError, match=said):
        desk.access.accounts.add("ada", "viewer", password, ROOT)
    assert not desk.access.accounts.any


@pytest.mark.parametrize("name", ["", "Ada", "a b", "@ada", "-", "a" * 64, "ada\n", "ädä", "../x"])
def test_a_name_is_one_that_can_be_told_apart(desk: Desk, name: str) -> None:
    with pytest.raises(AccountError, match="can't be an account's name"):
        desk.access.accounts.add(name, "viewer", SECRET, ROOT)


def test_a_name_is_one_persons(desk: Desk) -> None:
    desk.add()
    with pytest.raises(AccountError, match="taken"):
        desk.add()
    assert len(desk.access.audit.newest(9)) == 1


def test_the_last_admin_stays_one(desk: Desk) -> None:
    desk.add("ada", "admin")
    desk.add("bob", "admin")
    desk.access.accounts.disable("bob", ROOT)
    with pytest.raises(AccountError, match="last admin"):
        desk.access.accounts.set_role("ada", "engineer", ROOT)
    with pytest.raises(AccountError, match="last admin"):
        desk.access.accounts.disable("ada", ROOT)
    assert [one.role for one in desk.access.accounts.all()] == ["admin", "admin"]
    desk.access.accounts.disable("bob", ROOT, disabled=False)
    desk.access.accounts.set_role("ada", "engineer", ROOT)


def test_each_change_is_written_down_with_what_was_before_and_without_secrets(desk: Desk) -> None:
    desk.add()
    desk.access.accounts.set_role("ada", "viewer", ROOT)
    desk.access.accounts.set_password("ada", SECRET + "!", ROOT)
    desk.access.accounts.disable("ada", ROOT)
    told = [(one.what, one.subject, one.before, one.after) for one in desk.access.audit.newest(9)]
    assert told == [
        ("account disable", "ada", {"disabled": False}, {"disabled": True}),
        ("account password", "ada", None, None),
        ("account role", "ada", {"role": "engineer"}, {"role": "viewer"}),
        ("account add", "ada", None, {"role": "engineer"}),
    ]
    assert {one.who for one in desk.access.audit.newest(9)} == {"root"}


def test_a_password_that_was_kept_cheaply_is_kept_dearly_at_the_next_sign_in(
    every_database: Database,
) -> None:
    clock = ManualClock()
    dearer = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    Desk(access_to(every_database, clock), clock, every_database).add()
    kept = "SELECT password FROM accounts"
    with every_database.begin() as connection:
        before = connection.execute(text(kept)).scalar_one()
    today = access_to(every_database, clock, passwords=dearer)
    assert today.accounts.recognise("ada", SECRET) is not None
    with every_database.begin() as connection:
        after = connection.execute(text(kept)).scalar_one()
    assert ("t=1" in before, "t=2" in after) == (True, True)
    assert today.accounts.recognise("ada", SECRET) is not None


# ---- sessions


def test_a_session_is_known_by_its_cookie_and_has_the_role_of_now(desk: Desk) -> None:
    desk.add()
    cookie = desk.cookie()
    found = desk.access.sessions.find(cookie)
    assert found is not None
    assert (found.holder, found.role) == ("ada", "engineer")
    desk.access.accounts.set_role("ada", "viewer", ROOT)
    again = desk.access.sessions.find(cookie)
    assert again is not None
    assert again.role == "viewer"
    assert cookie not in desk.everything_stored()
    for strange in ("", cookie[:-1], cookie + "A", found.key, "x" * 9999):
        assert desk.access.sessions.find(strange) is None


def test_a_session_ends_when_nobody_comes_and_after_a_shift_whatever_comes(desk: Desk) -> None:
    desk.add()
    left = desk.cookie()
    desk.clock.advance(4 * HOUR_S)
    assert desk.access.sessions.find(left) is None
    used = desk.cookie()
    for _ in range(15):
        desk.clock.advance(HOUR_S)
        assert desk.access.sessions.find(used) is not None
    desk.clock.advance(HOUR_S)
    assert desk.access.sessions.find(used) is None


def test_a_clock_that_was_set_back_does_not_make_sessions_longer(desk: Desk) -> None:
    desk.add()
    cookie = desk.cookie()
    desk.clock.advance(-30 * 24 * HOUR_S)
    assert desk.access.sessions.find(cookie) is None


@pytest.mark.parametrize("how", ["sign out", "revoke", "disable", "password"])
def test_a_session_that_was_ended_stays_ended(desk: Desk, how: str) -> None:
    desk.add()
    cookie, other = desk.cookie(), desk.cookie()
    access = desk.access
    if how == "sign out":
        access.sessions.close(cookie, Caller("ada", "engineer"))
    elif how == "revoke":
        assert access.sessions.revoke_all("ada", ROOT) == 2
    elif how == "disable":
        access.accounts.disable("ada", ROOT)
        access.accounts.disable("ada", ROOT, disabled=False)
    else:
        access.accounts.set_password("ada", SECRET + "?", ROOT)
    assert access.sessions.find(cookie) is None
    assert (access.sessions.find(other) is not None) == (how == "sign out")
    # Whoever signed out is remembered as somebody who was here; whoever was put out is not.
    assert access.sessions.remembers(cookie, "ada") == (how == "sign out")


# ---- tokens


def test_a_token_is_good_for_its_scopes_in_the_name_and_role_of_its_owner(desk: Desk) -> None:
    desk.add()
    token = desk.access.tokens.add("ada", "MES", ["label", "read"], ROOT)
    found = desk.access.tokens.find(token)
    assert found is not None
    assert (found.owner, found.role) == ("ada", "engineer")
    assert found.scopes == {"read", "label"}
    assert token not in desk.everything_stored()
    (listed,) = desk.access.tokens.all()
    assert listed.used_at == desk.clock.utc()
    for strange in ("", token[:-1], token[:-1] + "!", token.replace("sst_", ""), "sst_" + "0" * 56):
        assert desk.access.tokens.find(strange) is None


@pytest.mark.parametrize("how", ["revoked", "expired", "owner put out"])
def test_a_token_that_is_over_is_good_for_nothing(desk: Desk, how: str) -> None:
    desk.add()
    token = desk.access.tokens.add("ada", "MES", ["read"], ROOT, days=1)
    if how == "revoked":
        desk.access.tokens.revoke(desk.access.tokens.all()[0].id, ROOT)
    elif how == "expired":
        desk.clock.advance(24 * HOUR_S)
    else:
        desk.access.accounts.disable("ada", ROOT)
    assert desk.access.tokens.find(token) is None


def test_a_token_needs_an_owner_who_is_there_and_scopes_that_there_are(desk: Desk) -> None:
    desk.add()
    for owner, scopes in (("eve", ["read"]), ("ada", []), ("ada", ["everything"])):
        with pytest.raises(AccountError):
            desk.access.tokens.add(owner, "MES", scopes, ROOT)
    with pytest.raises(AccountError, match="no token"):
        desk.access.tokens.revoke("abc", ROOT)
    assert desk.access.tokens.all() == []
