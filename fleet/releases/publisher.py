"""How drafts become what devices see: checked as a whole, and named last.

Payloads lie there already. Then the roles that hold releases, then snapshot, root and, last of
all, timestamp, which names the new state: whoever copies or reads in between finds the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from fleet.releases.drafts import Drafts, RoleSignatures, expiry, successor
from fleet.releases.keys import load_key
from fleet.releases.pairs import require_tails
from fleet.releases.roles import HOLDERS, ONLINE, ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from fleet.releases.store import ReleaseStore
from shared.clock import Clock
from shared.errors import ReleaseError
from shared.log import get_logger

log = get_logger("releases")
HASHES = ["sha256"]


class Publisher:
    """Publishes what is ready, and signs snapshot and timestamp while the cloud runs."""

    def __init__(self, store: ReleaseStore, clock: Clock) -> None:
        self.store = store
        self._drafts = Drafts(store, clock)
        self._clock = clock

    def publish(self, served_pairs: Collection[str] = ()) -> list[str]:
        """Let devices see every draft that enough keys have signed. Returns those roles.

        served_pairs   pairs whose tails the cloud serves already
        Raises ReleaseError where nothing is ready, or what is would not hold together.
        """
        with self.store.changing():
            root, fresh = self._root()
            ready = [ROOT] if fresh else []
            top = self._choose(TARGETS, root.signed, ready)
            held = {role: self._choose(role, top.signed, ready) for role in HOLDERS}
            if not ready:
                raise self._nothing_ready()
            for role in HOLDERS:
                self._require_payloads(held[role].signed)
            require_tails(self.store, held.values(), served_pairs)
            online = self._online(root.signed)
            chosen = {TARGETS: top, **held}
            for role, metadata in chosen.items():
                if role in ready:
                    self.store.serve(role, metadata)
            snapshot = self._serve_snapshot(chosen, online)
            # Devices fetch root first and timestamp second. Between them lies the one moment in
            # which a new online key would be missed, so they are written side by side.
            if ROOT in ready:
                self.store.serve(ROOT, root)
            self._serve_timestamp(snapshot, online)
            for role in ready:
                self.store.unstage(role)
            self.store.sweep()
        return ready

    def refresh(self) -> list[str]:
        """Sign snapshot and timestamp again where half of their life is over, or where they are
        good for longer than they should be: a clock that was ahead signed them. Which were.

        Raises ReleaseError where there is no repository, or its online keys are gone.
        """
        with self.store.changing():
            online = self._online(self.store.published(ROOT, Root).signed)
            snapshot = self.store.published(SNAPSHOT, Snapshot)
            stamp = self.store.published(TIMESTAMP, Timestamp)
            done = []
            if self._due(SNAPSHOT, snapshot.signed.expires):
                snapshot = successor(SNAPSHOT, snapshot, self._clock)
                snapshot.sign(online[SNAPSHOT])
                self.store.serve(SNAPSHOT, snapshot)
                done.append(SNAPSHOT)
            if done or self._due(TIMESTAMP, stamp.signed.expires):
                self._serve_timestamp(snapshot, online)
                done.append(TIMESTAMP)
                self.store.sweep()
        if done:
            log.info("releases_signed_again", roles=done)
        return done

    def _root(self) -> tuple[Metadata[Root], bool]:
        """The root that will hold, and whether it is a new one."""
        waiting = self.store.waiting(ROOT, Root)
        published = self.store.published(ROOT, Root) if self.store.versions(ROOT) else None
        if waiting:
            result = waiting.signed.get_root_verification_result(
                published.signed if published else None, waiting.signed_bytes, waiting.signatures
            )
            if result:
                return waiting, True
        if published is None:
            raise self._nothing_ready()
        return published, False

    def _choose(self, role: str, above: Root | Targets, ready: list[str]) -> Metadata[Targets]:
        """The draft where it is signed, else what is served, if its keys still hold."""
        waiting = self.store.waiting(role, Targets)
        if waiting and _holds(above, role, waiting):
            ready.append(role)
            return waiting
        published = self.store.published(role, Targets)
        if not _holds(above, role, published):
            raise ReleaseError(
                f"{role} is not signed with its new keys yet",
                fix=f"sign its draft; see `splitsight fleet release list` for who must ({role})",
            )
        return published

    def _require_payloads(self, holder: Targets) -> None:
        for target in holder.targets.values():
            if not self.store.intact(target):
                raise ReleaseError(
                    f"{self.store.payload(target)} is not what was added",
                    fix="bring it back, or remove the release and add it again",
                )

    def _online(self, root: Root) -> Mapping[str, CryptoSigner]:
        """The signers for the online roles, of the keys that lie here."""
        here = {s.public_key.keyid: s for s in map(load_key, sorted(self.store.keys.glob("*.pem")))}
        online = {}
        for role in ONLINE:
            usable = [here[key] for key in root.roles[role].keyids if key in here]
            if not usable:
                raise ReleaseError(
                    f"no key in {self.store.keys} may sign {role}",
                    fix=f"bring it back, or `splitsight fleet release rotate {role}`",
                )
            online[role] = usable[0]
        return online

    def _serve_snapshot(
        self, chosen: Mapping[str, Metadata[Targets]], online: Mapping[str, CryptoSigner]
    ) -> Metadata[Snapshot]:
        if self.store.exists:
            snapshot = successor(SNAPSHOT, self.store.published(SNAPSHOT, Snapshot), self._clock)
        else:
            snapshot = Metadata(Snapshot(1, expires=expiry(SNAPSHOT, self._clock)))
        for role, metadata in chosen.items():
            raw = metadata.to_bytes()
            snapshot.signed.meta[f"{role}.json"] = MetaFile.from_data(
                metadata.signed.version, raw, HASHES
            )
        snapshot.sign(online[SNAPSHOT])
        self.store.serve(SNAPSHOT, snapshot)
        return snapshot

    def _serve_timestamp(
        self, snapshot: Metadata[Snapshot], online: Mapping[str, CryptoSigner]
    ) -> None:
        if self.store.exists:
            stamp = successor(TIMESTAMP, self.store.published(TIMESTAMP, Timestamp), self._clock)
        else:
            stamp = Metadata(Timestamp(1, expires=expiry(TIMESTAMP, self._clock)))
        stamp.signed.snapshot_meta = MetaFile.from_data(
            snapshot.signed.version, snapshot.to_bytes(), HASHES
        )
        stamp.sign(online[TIMESTAMP])
        self.store.serve(TIMESTAMP, stamp)

    def _due(self, role: str, expires: datetime) -> bool:
        life = ROLES[role].life
        left = expires - datetime.fromtimestamp(self._clock.utc(), UTC)
        return not life / 2 < left <= 1.5 * life

    def _nothing_ready(self) -> ReleaseError:
        if not self.store.exists:
            return ReleaseError("nothing is ready to be published", fix="sign root first")
        rows = [row for row in self._drafts.standing() if row.waiting]
        if not rows:
            return ReleaseError(
                "nothing waits to be published",
                fix="add something with `splitsight fleet release add`",
            )
        return ReleaseError(
            "nothing is ready to be published: " + "; ".join(map(_lacking, rows)),
            fix="sign with `splitsight fleet release sign --key FILE`",
        )


def _holds(above: Root | Targets, role: str, metadata: Metadata[Targets]) -> bool:
    return bool(above.get_verification_result(role, metadata.signed_bytes, metadata.signatures))


def _lacking(row: RoleSignatures) -> str:
    return (
        f"{row.role} has {row.signed} of {row.threshold} signatures "
        f"(of the keys {', '.join(row.keys)})"
    )
