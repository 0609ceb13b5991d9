"""A new repository: its keys, and metadata without a release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Targets

from fleet.releases.drafts import expiry
from fleet.releases.keys import make_key
from fleet.releases.publisher import Publisher
from fleet.releases.roles import HOLDERS, ONLINE, ROLES, ROOT, TARGETS
from fleet.releases.store import ReleaseStore
from shared.clock import Clock


def found_repository(
    store: ReleaseStore, keys: Path, clock: Clock, passphrase: str | None = None
) -> list[Path]:
    """Make keys, sign the first metadata with them and publish it. Returns where they lie.

    keys   the folder for the keys of people, which should leave this machine
    Raises ReleaseError where there is a repository, or a key of one, already.
    """
    store.make()
    roots = [f"{ROOT}-{number + 1}" for number in range(ROLES[ROOT].keys)]
    by_people = {n: make_key(keys / f"{n}.pem", passphrase) for n in (*roots, TARGETS, *HOLDERS)}
    online = {name: make_key(store.keys / f"{name}-1.pem") for name in ONLINE}
    root = Root(1, expires=expiry(ROOT, clock), consistent_snapshot=True)
    owners = {ROOT: [by_people[name] for name in roots], TARGETS: [by_people[TARGETS]]}
    for role, signers in {**owners, **{name: [online[name]] for name in ONLINE}}.items():
        for signer in signers:
            root.add_key(signer.public_key, role)
        root.roles[role].threshold = ROLES[role].threshold
    delegations = Delegations(
        keys={s.public_key.keyid: s.public_key for s in map(by_people.__getitem__, HOLDERS)},
        roles={
            name: DelegatedRole(
                name,
                [by_people[name].public_key.keyid],
                ROLES[name].threshold,
                terminating=True,
                paths=list(ROLES[name].paths),
            )
            for name in HOLDERS
        },
    )
    first: dict[str, Metadata[Any]] = {
        ROOT: Metadata(root),
        TARGETS: Metadata(Targets(1, expires=expiry(TARGETS, clock), delegations=delegations)),
        **{name: Metadata(Targets(1, expires=expiry(name, clock))) for name in HOLDERS},
    }
    with store.changing():
        for role, metadata in first.items():
            for signer in owners.get(role) or [by_people[role]]:
                metadata.sign(signer, append=True)
            store.stage(role, metadata)
    Publisher(store, clock).publish()
    return [keys / f"{name}.pem" for name in by_people]
