"""Who signs what, with how many keys, and for how long it is good."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from shared.errors import ReleaseError
from shared.releases import ReleaseKind

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
MODELS, FIRMWARE = "models", "firmware"


class Role(NamedTuple):
    """life: until it has to be signed again; keys, threshold: at the start."""

    name: str
    life: timedelta
    keys: int = 1
    threshold: int = 1
    paths: tuple[str, ...] = ()


ROLES = {
    role.name: role
    for role in (
        Role(ROOT, timedelta(days=365), keys=3, threshold=2),
        Role(TARGETS, timedelta(days=90)),
        Role(MODELS, timedelta(days=90), paths=("models/*/*",)),
        Role(FIRMWARE, timedelta(days=90), paths=("firmware/*/*/*",)),
        Role(SNAPSHOT, timedelta(days=7)),
        Role(TIMESTAMP, timedelta(days=1)),
    )
}
SIGNED_BY_PEOPLE = (ROOT, TARGETS, MODELS, FIRMWARE)
ONLINE = (SNAPSHOT, TIMESTAMP)
HOLDERS = (MODELS, FIRMWARE)
"""The roles that hold releases."""


def role_of(kind: ReleaseKind) -> str:
    return MODELS if kind == "model" else FIRMWARE


def require_role(name: str) -> Role:
    if name not in ROLES:
        raise ReleaseError(f"{name} is not a role", fix=f"use one of {', '.join(ROLES)}")
    return ROLES[name]
