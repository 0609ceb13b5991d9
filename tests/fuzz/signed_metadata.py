"""A TUF repository in memory whose next file is made up, and signed as if it were not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import FetcherInterface

from edge.updates.transfer.fetch import GatewayEndpoint
from edge.updates.trust.tuf_client import Trust
from shared.clock import SystemClock
from shared.errors import SplitsightError

ROLES = ("root", "timestamp", "snapshot", "targets")
_JSON = JSONSerializer()


class OneFile(FetcherInterface):
    """Serves `files` by their last name; nothing of it goes over a network."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name not in self.files:
            raise DownloadHTTPError("not there", 404)
        yield self.files[name]


class SignedMetadata:
    """The first byte says whose file is made up; the rest is what was signed, or the file itself
    where that is no JSON object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "trusted"
        # The same each time, so that what one run found is signed for the next.
        self._key = CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
        expires = datetime(2100, 1, 1, tzinfo=UTC)
        root = Root(expires=expires, consistent_snapshot=False)
        for role in ROLES:
            root.add_key(self._key.public_key, role)
        meta = {"targets.json": MetaFile(1)}
        made: tuple[Any, ...] = (
            *(root, Timestamp(expires=expires)),
            *(Snapshot(expires=expires, meta=meta), Targets(expires=expires)),
        )
        self._good = {one.type: self._sign(Metadata(one)) for one in made}
        self._fetcher = OneFile()

    def seeds(self) -> list[bytes]:
        """What is signed of each role."""
        signed = {role: json.loads(raw)["signed"] for role, raw in self._good.items()}
        signed["root"]["version"] = 2
        return [
            bytes([place]) + json.dumps(signed[role]).encode() for place, role in enumerate(ROLES)
        ]

    def __call__(self, raw: bytes) -> None:
        role = ROLES[raw[0] % len(ROLES)] if raw else "timestamp"
        name = "2.root.json" if role == "root" else f"{role}.json"
        served = {f"{other}.json": good for other, good in self._good.items() if other != "root"}
        self._fetcher.files = served | {name: self._signed(raw[1:])}
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        try:
            gateway = GatewayEndpoint("https://gateway", None)
            trust = Trust(self._folder, gateway, self._good["root"], SystemClock(), self._fetcher)
            trust.refresh()
            trust.payload("models/x")
        except SplitsightError:
            return

    def _sign(self, metadata: Metadata[Any]) -> bytes:
        metadata.sign(self._key)
        return metadata.to_bytes(_JSON)

    def _signed(self, raw: bytes) -> bytes:
        try:
            signed = json.loads(raw)
            text = (encode_canonical(signed) or "").encode()
        except (ValueError, RecursionError, FormatError):
            return raw
        signature = self._key.sign(text)
        made = {"signatures": [signature.to_dict() | {"keyid": signature.keyid}], "signed": signed}
        return json.dumps(made).encode()
