"""Who somebody whom a provider vouches for is here: name and role from claims. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloud.accounts.tables import LONGEST_NAME
from cloud.configuration.oidc import OidcSettings
from shared.errors import AccountError
from shared.web.access import ROLES, Role

OTHER = re.compile(r"[^a-z0-9._-]+")
LONGEST_SUBJECT = 255
MOST_TOLD = 5
Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """subject   the provider's own word for them, which it gives nobody else
    name      for an account that is made
    role      the highest of those that the claims give; None: none
    groups    what the claim holds, for who is refused
    """

    subject: str
    name: str
    role: Role | None
    groups: tuple[str, ...]


def person_of(claims: Claims, settings: OidcSettings) -> Person:
    """Raises AccountError where they have no subject or no name that can be an account's."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise AccountError("the provider does not say who you are", fix="ask who runs it")
    said = claim_of(claims, settings.name_claim)
    text = said if isinstance(said, str) else ""
    # Of an address the part that is the person's.
    name = OTHER.sub("-", text.partition("@")[0].strip().casefold()).strip("._-")[:LONGEST_NAME]
    name = name.strip("._-")
    if not name:
        raise AccountError(
            f"the provider sends no {settings.name_claim} that can be a name here",
            fix="an admin can set `api.oidc.name_claim` to a claim that it sends",
        )
    groups = _texts(claim_of(claims, settings.role_claim))
    roles = [settings.roles[group] for group in groups if group in settings.roles]
    role = max(roles, key=ROLES.index) if roles else None
    return Person(subject, name, role, groups)


def claim_of(claims: Claims, name: str) -> Any:
    """A claim by its name; `a.b` is b within a where none has that name. None: it is not there."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def no_role(person: Person, settings: OidcSettings) -> AccountError:
    """They are known there, and nothing here."""
    told = ", ".join(group[:40] for group in person.groups[:MOST_TOLD]) or "nothing"
    return AccountError(
        f"{settings.shown} vouches for {person.name}, but its {settings.role_claim} ({told}) "
        "gives no role here",
        fix="ask an admin: `api.oidc.roles` says which do",
    )


def _texts(said: object) -> tuple[str, ...]:
    if isinstance(said, str):
        return (said,)
    return tuple(one for one in said if isinstance(one, str)) if isinstance(said, list) else ()
