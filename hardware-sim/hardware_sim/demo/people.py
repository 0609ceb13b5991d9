"""Who may sign in to a demo, one of each role and a second inspector, with passwords of this run
alone."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from cloud.accounts.access import open_access
from cloud.records.database import Database
from shared.clock import Clock
from shared.web.access import Caller, Role

INSPECTOR, SECOND_INSPECTOR, ENGINEER, VIEWER, ADMIN = "ida", "ivo", "noor", "vera", "ada"
ROLES: dict[str, Role] = {
    INSPECTOR: "inspector",
    SECOND_INSPECTOR: "inspector",
    ENGINEER: "engineer",
    VIEWER: "viewer",
    ADMIN: "admin",
}


@dataclass(frozen=True, slots=True)
class DemoPeople:
    """passwords by name; `token` is the demo's own, to read with."""

    passwords: dict[str, str]
    token: str


def employ(database: Database, clock: Clock) -> DemoPeople:
    """Make the accounts. Raises RecordsError, and AccountError where they are there."""
    access, demo = open_access(database, clock), Caller("demo", "admin", means="command")
    passwords = {name: secrets.token_urlsafe(9) for name in ROLES}
    for name, role in ROLES.items():
        access.accounts.add(name, role, passwords[name], demo)
    token = access.tokens.add(ADMIN, "the demo's own table", ["read"], demo, days=30)
    return DemoPeople(passwords, token)
