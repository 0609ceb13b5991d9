"""A TUF repository in memory that tests bend at will, and our client's commands against it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    TOP_LEVEL_ROLE_NAMES,
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from tests.fleet.releases.mirror import Mirror
from tests.support import tuf_conformance as conformance

_METADATA = re.compile(r"metadata/(?:(\d+)\.)?(.+)\.json")


class Simulator:
    """drafts: metadata to be changed; published: bytes by role, the first version first."""

    def __init__(self) -> None:
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        self.drafts: dict[str, Metadata[Any]] = {
            "root": Metadata(Root(expires=later, consistent_snapshot=True)),
            "targets": Metadata(Targets(expires=later)),
            "snapshot": Metadata(Snapshot(expires=later)),
            "timestamp": Metadata(Timestamp(expires=later)),
        }
        self.later = later
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.published: dict[str, list[bytes]] = {}
        self.payloads: dict[str, bytes] = {}
        self.hashes = False
        self.asked: list[tuple[str, int | None]] = []
        self.payloads_asked: list[str] = []
        for role in sorted(TOP_LEVEL_ROLE_NAMES):
            self.add_key(role)
        self.publish("targets", "snapshot", "timestamp", "root")

    def signed(self, role: str) -> Any:
        return self.drafts[role].signed

    def add_key(self, role: str, signer: CryptoSigner | None = None) -> CryptoSigner:
        """For a role of the root."""
        signer = signer or CryptoSigner.generate_ed25519()
        self.signed("root").add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        return signer

    def rotate(self, role: str) -> None:
        self.signed("root").roles[role].keyids.clear()
        self.signers[role].clear()
        self.add_key(role)

    def delegate(self, above: str, name: str, *, paths: Iterable[str], ends: bool = False) -> None:
        """Let `above` trust another role, with a key of its own."""
        signer = CryptoSigner.generate_ed25519()
        delegator = self.signed(above)
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, roles={})
        delegator.delegations.roles[name] = DelegatedRole(name, [], 1, ends, list(paths))
        if name not in self.drafts:
            self.drafts[name] = Metadata(Targets(expires=self.later))
            self.signers[name] = [signer]
        delegator.add_key(self.signers[name][0].public_key, name)

    def add(self, role: str, path: str, raw: bytes) -> None:
        self.signed(role).targets[path] = TargetFile.from_data(path, raw, ["sha256"])
        self.payloads[path] = raw

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Sign and serve the next version; snapshot and timestamp are told what there is."""
        for role in roles:
            draft = self.drafts[role]
            if role in self.published and bump:
                draft.signed.version += 1
            draft.signatures.clear()
            for signer in self.signers[role]:
                draft.sign(signer, append=True)
            raw = draft.to_bytes()
            self.published.setdefault(role, []).append(raw)
            version = draft.signed.version
            meta = (
                MetaFile.from_data(version, raw, ["sha256"]) if self.hashes else MetaFile(version)
            )
            if role == "snapshot":
                self.signed("timestamp").snapshot_meta = meta
            elif role not in {"root", "timestamp"}:
                self.signed("snapshot").meta[f"{role}.json"] = meta

    def publish_all(self, *roles: str) -> None:
        self.publish(*roles, "snapshot", "timestamp")

    def answer(self, path: str) -> bytes | None:
        """What a host serves."""
        if match := _METADATA.fullmatch(path):
            version, role = int(match[1]) if match[1] else None, match[2]
            self.asked.append((role, version))
            for raw in reversed(self.published.get(unquote(role), [])):
                if version in {None, Metadata[Any].from_bytes(raw).signed.version}:
                    return raw
            return None
        folder, _, name = unquote(path.removeprefix("targets/")).rpartition("/")
        target = f"{folder}/{name.partition('.')[2]}".lstrip("/")
        self.payloads_asked.append(target)
        return self.payloads.get(target)


class Client:
    """Calls our client as the suite would. Every command answers with its exit code."""

    def __init__(self, folder: Path, mirror: Mirror, root: bytes) -> None:
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        self._root = folder / "initial_root.json"
        self._root.write_bytes(root)
        self._url = mirror.url

    def _run(self, *arguments: str) -> int:
        return conformance.main(["--metadata-dir", str(self.metadata), *arguments])

    def init(self) -> int:
        return self._run("init", str(self._root))

    def refresh(self) -> int:
        return self._run("--metadata-url", f"{self._url}/metadata/", "refresh")

    def download(self, path: str) -> int:
        return self._run(
            *("--metadata-url", f"{self._url}/metadata/", "--target-name", path),
            *("--target-base-url", f"{self._url}/targets/"),
            *("--target-dir", str(self.targets), "download"),
        )

    def version(self, role: str) -> int | None:
        path = self.metadata / f"{role}.json"
        return Metadata[Any].from_file(str(path)).signed.version if path.exists() else None

    def trusted(self) -> dict[str, int | None]:
        names = sorted(path.name.removesuffix(".json") for path in self.metadata.glob("*.json"))
        return {name: self.version(name) for name in names}

    def payloads(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.targets.iterdir())]
