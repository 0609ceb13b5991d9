"""What a device may believe of releases: the seam between trust and updates, and its fake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.errors import ReleaseError
from shared.releases import ReleaseFacts


class ReleasesUnreachable(ReleaseError):
    """Nothing is wrong with what is known; the gateway can be asked again later."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A file that was signed.

    path     the target's path, under which people know it
    length   bytes; sha256: 64 hex digits
    """

    path: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SignedRelease(Payload):
    """A release that was signed, and what was signed of it."""

    facts: ReleaseFacts


class Trusts(Protocol):
    """What a device may believe of releases. For one thread."""

    def refresh(self) -> None:
        """Fetch and check what is new. Raises ReleasesUnreachable or ReleaseError."""

    def find(self, path: str) -> SignedRelease:
        """The release at a target's path. Raises ReleaseError where there is none to believe."""

    def delta(self, found: SignedRelease, base: str) -> Payload | None:
        """The patch to a release from the payload with sha256 `base`; None where there is none."""

    def url(self, payload: Payload) -> str:
        """Where its bytes are."""


class KnownReleases:
    """`Trusts` of what it is given; for tests and dry runs.

    releases   what is signed, by path; deltas: patches, by path
    """

    def __init__(
        self,
        url: str,
        releases: Mapping[str, SignedRelease],
        deltas: Mapping[str, Payload] | None = None,
    ) -> None:
        self._url = url
        self.releases = dict(releases)
        self.deltas = dict(deltas or {})
        self.failure: ReleaseError | None = None
        self.refreshed = 0

    def refresh(self) -> None:
        if self.failure:
            raise self.failure
        self.refreshed += 1

    def find(self, path: str) -> SignedRelease:
        if path not in self.releases:
            raise no_release(path)
        return self.releases[path]

    def delta(self, found: SignedRelease, base: str) -> Payload | None:
        path = found.facts.deltas.get(base)
        return self.deltas.get(path) if path else None

    def url(self, payload: Payload) -> str:
        return target_url(self._url, payload)


def target_url(gateway: str, payload: Payload) -> str:
    """Files lie under names that hold their sha256, so that a mirror can't mix two states."""
    folder, _, name = payload.path.rpartition("/")
    return f"{gateway}/targets/{folder}/{payload.sha256}.{name}"


def no_release(path: str) -> ReleaseError:
    return ReleaseError(
        f"{path} is not among the releases",
        fix="publish it with `splitsight fleet release publish`",
    )
