"""What a device believes of releases: TUF metadata, and a time that never goes back.

Everything of python-tuf that is private is touched in this one file: `Updater._trusted_set` (for
the time against which expiry is checked) and `Updater._persist_file` (which does not flush).
`test_trust_internals.py` says what broke where a later version moves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Root, TargetFile, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge.updates.transfer.fetch import Fetcher, GatewayEndpoint, open_pool
from edge.updates.trust.reasons import explain
from edge.updates.trust.releases import Payload, SignedRelease, no_release, target_url
from edge.updates.trust.time_floor import LowestTime, SignedTime, taken_back
from shared.clock import Clock
from shared.errors import ReleaseError, UpdateError
from shared.format import date
from shared.log import get_logger
from shared.releases import ReleaseFacts
from shared.storage.files import PUBLIC, replace_file

log = get_logger("trust")

ROOT_LIMIT = 512_000
TIMESTAMP_LIMIT = 16_384
SNAPSHOT_LIMIT = 2_000_000
TARGETS_LIMIT = 5_000_000


class Trust:
    """`Trusts` over a TUF repository behind a gateway."""

    def __init__(
        self,
        folder: Path,
        gateway: GatewayEndpoint,
        root: bytes,
        clock: Clock,
        fetcher: FetcherInterface | None = None,
    ) -> None:
        """folder: what was believed last, kept; root: the root that came with the device.

        Raises ReleaseError where the root is none, UpdateError where the folder can't be written.
        """
        self._folder = folder
        self._gateway = gateway
        self._root = root
        self._clock = clock
        self._fetcher = fetcher or Fetcher(open_pool(gateway))
        with self._explained():
            self._lowest = LowestTime(folder)
            self._kept: SignedTime | None = None
            self._updater = self._open()

    def refresh(self) -> None:
        with self._explained():
            try:
                self._refresh()
            except ExpiredMetadataError:
                if not self._heal():
                    raise
                self._refresh()

    def _refresh(self) -> None:
        now = self._now()
        self._updater = self._open()
        self._kept = self._updater.kept()
        try:
            self._updater.refresh()
        finally:
            self._lowest.raise_to(min(now, self._updater.reach()))

    def _heal(self) -> bool:
        """Whether the lowest time was wrong, by what the repository itself has signed since."""
        certain = taken_back(self._kept, self._updater.newest())
        if certain is None or certain >= self._lowest.utc:
            return False
        log.warning("lowest_time_taken_back", was=date(self._lowest.utc), certain=date(certain))
        self._lowest.lower_to(certain)
        return True

    def find(self, path: str) -> SignedRelease:
        target = self._target(path)
        if target is None:
            raise no_release(path)
        facts = ReleaseFacts.of(path, target.custom)
        return SignedRelease(path, target.length, _sha256(target), facts)

    def delta(self, found: SignedRelease, base: str) -> Payload | None:
        path = found.facts.deltas.get(base)
        return self.payload(path) if path else None

    def payload(self, path: str) -> Payload | None:
        """Any file that was signed, release or not; None where there is none."""
        target = self._target(path)
        return Payload(path, target.length, _sha256(target)) if target else None

    def url(self, payload: Payload) -> str:
        return target_url(self._gateway.url, payload)

    def _target(self, path: str) -> TargetFile | None:
        if not self._updater.refreshed:
            self.refresh()
        with self._explained():
            return self._updater.get_targetinfo(path)

    def _now(self) -> float:
        return max(self._clock.utc(), self._lowest.utc)

    def _open(self) -> _Updater:
        now = datetime.fromtimestamp(self._now(), UTC)
        return _Updater(self._folder, self._gateway.metadata, self._root, self._fetcher, now)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (RepositoryError, DownloadError) as error:
            explained = explain(error, self._gateway.metadata, self._now())
            log.warning("releases_refused", gateway=self._gateway.metadata, error=str(explained))
            raise explained from error
        except OSError as error:
            raise UpdateError(
                f"{self._folder} can't be written ({error})", fix="free some space on the data disk"
            ) from error


class _Updater(Updater):
    """python-tuf's client with our time, and files that survive a power cut."""

    def __init__(
        self, folder: Path, url: str, root: bytes, fetcher: FetcherInterface, now: datetime
    ) -> None:
        config = UpdaterConfig(
            root_max_length=ROOT_LIMIT,
            timestamp_max_length=TIMESTAMP_LIMIT,
            snapshot_max_length=SNAPSHOT_LIMIT,
            targets_max_length=TARGETS_LIMIT,
        )
        super().__init__(str(folder), url, fetcher=fetcher, config=config, bootstrap=root)
        # python-tuf asks the machine's clock, which a flat battery sets back.
        self._trusted_set.reference_time = now
        self.refreshed = False

    def refresh(self) -> None:
        super().refresh()
        self.refreshed = True

    def reach(self) -> float:
        """UTC until when the newest timestamp that these keys have signed is good; 0 for none."""
        # Where the root has expired, no timestamp gets into the trusted set.
        known = self.newest() or self.kept()
        return known.expires if known else 0.0

    def newest(self) -> SignedTime | None:
        """The timestamp that was fetched, expired or not; None where none could be believed."""
        if Timestamp.type not in self._trusted_set:
            return None
        found = self._trusted_set.timestamp
        return SignedTime(found.version, found.expires.timestamp())

    def kept(self) -> SignedTime | None:
        """The timestamp that was believed last and lies in the folder, if these keys signed it."""
        try:
            kept = Metadata[Timestamp].from_bytes(self._load_local_metadata(Timestamp.type))
            root: Root = self._trusted_set.root
            root.verify_delegate(Timestamp.type, kept.signed_bytes, kept.signatures)
        except (OSError, RepositoryError):
            return None
        return SignedTime(kept.signed.version, kept.signed.expires.timestamp())

    def _persist_file(self, filename: str, data: bytes) -> None:
        replace_file(Path(filename), data, mode=PUBLIC)


def _sha256(target: TargetFile) -> str:
    sha256 = target.hashes.get("sha256")
    if sha256 is None:
        raise ReleaseError(f"{target.path} is signed without a sha256", fix="add it again")
    return sha256
