"""What people change and sign before devices see it.

A draft is the next version of a role. Signatures may be collected one by one, with keys that are
never in one place: `sign` where a key is, or on a copy of the draft that `merge` takes back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from fleet.releases.roles import (
    HOLDERS,
    ROLES,
    ROOT,
    SIGNED_BY_PEOPLE,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Role,
    require_role,
)
from fleet.releases.store import ReleaseStore, S, read, write
from shared.clock import Clock
from shared.errors import ReleaseError

KINDS: Mapping[str, type[Any]] = {ROOT: Root, SNAPSHOT: Snapshot, TIMESTAMP: Timestamp}
Delegator = Root | Targets


@dataclass(frozen=True, slots=True)
class RoleSignatures:
    """How far a role is.

    version, expires    of what devices get now; UTC, ISO 8601
    waiting             the version that waits for signatures; None where none does
    signed, threshold   signatures that the waiting version has, and must have; of a root by the
                        old root's rules or its own, whichever lacks more
    keys                the beginnings of the ids of the keys that may sign
    """

    role: str
    version: int
    expires: str
    waiting: int | None
    signed: int
    threshold: int
    keys: tuple[str, ...]


def expiry(role: str, clock: Clock) -> datetime:
    return datetime.fromtimestamp(int(clock.utc()), UTC) + ROLES[role].life


def successor(role: str, metadata: Metadata[S], clock: Clock) -> Metadata[S]:
    """The next version, unsigned and good for a whole life."""
    signed = copy.deepcopy(metadata.signed)
    signed.version += 1
    signed.expires = expiry(role, clock)
    return Metadata(signed)


class Drafts:
    """The drafts of a fleet's releases."""

    def __init__(self, store: ReleaseStore, clock: Clock) -> None:
        self.store = store
        self._clock = clock

    def waiting(self) -> list[str]:
        """Roles of which a draft lies here."""
        return [r for r in SIGNED_BY_PEOPLE if (self.store.staged / f"{r}.json").exists()]

    def holder(self, role: str) -> Metadata[Targets]:
        """A draft of targets, models or firmware, to be changed and staged."""
        waiting = self.store.waiting(role, Targets)
        return waiting or successor(role, self.store.published(role, Targets), self._clock)

    def root(self) -> Metadata[Root]:
        waiting = self.store.waiting(ROOT, Root)
        return waiting or successor(ROOT, self.store.published(ROOT, Root), self._clock)

    def stage(self, role: str, metadata: Metadata[S]) -> None:
        """Keep a changed draft. What was signed was another content, so signatures go."""
        metadata.signatures.clear()
        metadata.signed.expires = expiry(role, self._clock)
        self.store.stage(role, metadata)

    def renew(self, role: str) -> None:
        """Draft the same again, good for another life."""
        require_role(role)
        if role not in SIGNED_BY_PEOPLE:
            raise ReleaseError(f"{role} is signed again by the cloud", fix="keep the cloud running")
        with self.store.changing():
            self._redraft(role)

    def rotate(self, role: str, old: str, new: CryptoSigner) -> list[str]:
        """Draft another key in place of one. Returns the roles that have to be signed.

        old   the key's id, or as much of its beginning as tells it from the others
        What is served was signed with the old key, so it has to be signed again with the new one.
        """
        require_role(role)
        with self.store.changing():
            if role in HOLDERS:
                top = self.holder(TARGETS)
                _replace_key(top.signed, role, old, new)
                self.stage(TARGETS, top)
                self._redraft(role)
                return [TARGETS, role]
            root = self.root()
            _replace_key(root.signed, role, old, new)
            self.stage(ROOT, root)
            if role == TARGETS:
                self._redraft(TARGETS)
                return [ROOT, TARGETS]
            return [ROOT]

    def sign(self, signers: Sequence[CryptoSigner]) -> None:
        """Sign every draft with whichever of the keys may sign it.

        Raises ReleaseError for a key that may sign nothing of what waits.
        """
        used: set[str] = set()
        with self.store.changing():
            for role in self.waiting():
                metadata = self._read(role)
                allowed = self._allowed(role, metadata)
                for signer in signers:
                    if signer.public_key.keyid in allowed:
                        metadata.sign(signer, append=True)
                        used.add(signer.public_key.keyid)
                self.store.stage(role, metadata)
        for signer in signers:
            if signer.public_key.keyid not in used:
                raise ReleaseError(
                    f"the key {short(signer.public_key.keyid)} may sign nothing that waits",
                    fix="see `splitsight fleet release list` for the keys of each role",
                )

    def merge(self, path: Path) -> str:
        """Take over the signatures of a copy that was signed elsewhere. Returns its role.

        Raises ReleaseError where it is not a copy of a draft that waits here.
        """
        with self.store.changing():
            for role in self.waiting():
                metadata = self._read(role)
                other = _read_copy(path)
                if other.signed_bytes == metadata.signed_bytes:
                    metadata.signatures.update(other.signatures)
                    self.store.stage(role, metadata)
                    return role
        raise ReleaseError(
            f"{path} is not a copy of what waits here", fix="copy the draft again and sign that"
        )

    def standing(self) -> list[RoleSignatures]:
        """Every role, and how far its draft is."""
        return [self._stand(role) for role in ROLES.values()]

    def expiring(self, within: timedelta) -> list[RoleSignatures]:
        """Roles that people have to sign again soon, or are late with already."""
        until = (datetime.fromtimestamp(self._clock.utc(), UTC) + within).isoformat()
        rows = (self._stand(ROLES[role]) for role in SIGNED_BY_PEOPLE)
        return [row for row in rows if row.expires < until]

    def _stand(self, role: Role) -> RoleSignatures:
        kind = KINDS.get(role.name, Targets)
        served = self.store.published(role.name, kind).signed
        metadata = self._read(role.name) if role.name in self.waiting() else None
        delegators = self._delegators(role.name, metadata)
        # A new root needs enough keys of the old one as well as of its own.
        deciding = delegators if role.name == ROOT else delegators[-1:]
        entries = [one.get_delegated_role(role.name) for one in deciding]
        counts = [len(good_signatures(one, role.name, metadata)) for one in deciding]
        signed, threshold = max(
            ((have, entry.threshold) for have, entry in zip(counts, entries, strict=True)),
            key=lambda pair: pair[1] - pair[0],
        )
        return RoleSignatures(
            role=role.name,
            version=served.version,
            expires=served.expires.isoformat(),
            waiting=metadata.signed.version if metadata else None,
            signed=signed,
            threshold=threshold,
            keys=tuple(short(key) for key in entries[-1].keyids),
        )

    def _redraft(self, role: str) -> None:
        if role == ROOT:
            self.stage(ROOT, self.root())
        else:
            self.stage(role, self.holder(role))

    def _read(self, role: str) -> Metadata[Any]:
        return read(self.store.staged / f"{role}.json", KINDS.get(role, Targets))

    def _allowed(self, role: str, metadata: Metadata[Any]) -> set[str]:
        delegators = self._delegators(role, metadata)
        return {key for one in delegators for key in one.get_delegated_role(role).keyids}

    def _delegators(self, role: str, metadata: Metadata[Any] | None) -> list[Delegator]:
        """Who says which keys may sign: as published, and as drafted where that waits too."""
        if role == ROOT:
            drafted = [metadata.signed] if metadata else []
            return [self.store.published(ROOT, Root).signed, *drafted]
        above = TARGETS if role in HOLDERS else ROOT
        kind: type[Any] = KINDS.get(above, Targets)
        waiting = self.store.waiting(above, kind)
        published = self.store.published(above, kind).signed
        return [published, waiting.signed] if waiting else [published]


def sign_copy(path: Path, signers: Sequence[CryptoSigner]) -> None:
    """Sign a copy of a draft where there is no repository; which keys count, `merge` finds out.

    Raises ReleaseError where it can't be read or written.
    """
    metadata = _read_copy(path)
    for signer in signers:
        metadata.sign(signer, append=True)
    write(path, metadata.to_bytes())


def _read_copy(path: Path) -> Metadata[Any]:
    try:
        return Metadata[Any].from_bytes(path.read_bytes())
    except (OSError, RepositoryError) as error:
        raise ReleaseError(
            f"{path} is not a draft ({error})", fix="copy it from the folder releases/staged"
        ) from error


def good_signatures(
    delegator: Delegator, role: str, metadata: Metadata[Any] | None
) -> Mapping[str, object]:
    """Signatures that count for one delegator, by the key's id."""
    if metadata is None:
        return {}
    result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    return result.signed


def short(keyid: str) -> str:
    """As much of a key's id as people need."""
    return keyid[:12]


def _replace_key(delegator: Delegator, role: str, old: str, new: CryptoSigner) -> None:
    found = [k for k in delegator.get_delegated_role(role).keyids if k.startswith(old)]
    if len(found) != 1:
        raise ReleaseError(
            f"{old!r} is not one key of {role}",
            fix="see `splitsight fleet release list` for the keys of each role",
        )
    delegator.revoke_key(found[0], role)
    delegator.add_key(new.public_key, role)
