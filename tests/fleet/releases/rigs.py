"""A repository with its keys at hand, for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from fleet.releases.catalogue import Catalogue
from fleet.releases.creation import found_repository
from fleet.releases.drafts import Drafts, successor
from fleet.releases.keys import load_key
from fleet.releases.publisher import Publisher
from fleet.releases.release_builder import Adding, ReleaseNote
from fleet.releases.store import ReleaseStore
from shared.bundles.bundle import Bundle, amend_bundle
from shared.clock import ManualClock
from shared.releases import ReleaseFacts
from tests.bundles import make_bundle

DAY = 86_400.0
EVERYWHERE = ReleaseNote(("any",), approved_by="A. Rossi")


class Yard:
    """Everything that the people and the cloud of one fleet have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "fleet"
        self.keys = folder / "stick"
        self.clock = ManualClock()
        self.store = ReleaseStore(self.folder)
        self.drafts = Drafts(self.store, self.clock)
        self.publisher = Publisher(self.store, self.clock)
        self.adding = Adding(self.drafts)
        self.catalogue = Catalogue(self.store)
        self._bundles = folder / "bundles"
        found_repository(self.store, self.keys, self.clock)

    @property
    def root(self) -> bytes:
        """The root that devices come with."""
        return (self.store.metadata / "1.root.json").read_bytes()

    def key(self, name: str) -> CryptoSigner:
        return load_key(self.keys / f"{name}.pem")

    def bundle(self, version: str = "1.0.0", name: str = "tiny") -> Bundle:
        made = make_bundle(self._bundles / f"{name}-{version}", name=name)
        return amend_bundle(made, {"version": version})

    def add(
        self, version: str = "1.0.0", word: ReleaseNote = EVERYWHERE, *, without_tail: bool = False
    ) -> ReleaseFacts:
        return self.adding.add_model(self.bundle(version), word, without_tail=without_tail)

    def publish(self, *keys: str) -> list[str]:
        self.drafts.sign([self.key(name) for name in keys])
        return self.publisher.publish()

    def release(self, version: str = "1.0.0", word: ReleaseNote = EVERYWHERE) -> ReleaseFacts:
        """Add, sign and publish a model."""
        facts = self.add(version, word)
        self.publish("models")
        return facts

    def age(self, days: float) -> None:
        """Time passes, half a day at a time, with the cloud running."""
        for _ in range(int(days * 2)):
            self.clock.advance(DAY / 2)
            self.publisher.refresh()

    def copy(self, folder: Path) -> Path:
        """The repository as a mirror has it now."""
        shutil.copytree(self.folder / "repository", folder)
        return folder

    def online(self, role: str) -> CryptoSigner:
        return load_key(self.store.keys / f"{role}-1.pem")

    def forge(
        self, role: str, change: Callable[[Targets], None], signers: Sequence[CryptoSigner]
    ) -> None:
        """What somebody could serve who has these signers and the online keys."""
        metadata = successor(role, self.store.published(role, Targets), self.clock)
        change(metadata.signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        self.store.serve(role, metadata)
        self.name(role, metadata)

    def name(self, role: str, metadata: Metadata[Targets]) -> None:
        """Snapshot and timestamp that name another version of a role."""
        snapshot = successor("snapshot", self.store.published("snapshot", Snapshot), self.clock)
        snapshot.signed.meta[f"{role}.json"] = MetaFile.from_data(
            metadata.signed.version, metadata.to_bytes(), ["sha256"]
        )
        snapshot.sign(self.online("snapshot"))
        stamp = successor("timestamp", self.store.published("timestamp", Timestamp), self.clock)
        stamp.signed.snapshot_meta = MetaFile.from_data(
            snapshot.signed.version, snapshot.to_bytes(), ["sha256"]
        )
        stamp.sign(self.online("timestamp"))
        self.store.serve("snapshot", snapshot)
        self.store.serve("timestamp", stamp)

    def forge_root(self, signers: Sequence[CryptoSigner]) -> None:
        root = successor("root", self.store.published("root", Root), self.clock)
        for signer in signers:
            root.sign(signer, append=True)
        self.store.serve("root", root)


def strange_target(path: str, custom: object = None) -> TargetFile:
    target = TargetFile.from_data(path, os.urandom(20), ["sha256"])
    if custom is not None:
        target.unrecognized_fields["custom"] = custom
    return target
