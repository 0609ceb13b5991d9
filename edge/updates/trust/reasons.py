"""Why a repository is not believed, in words that say what to do."""

from __future__ import annotations

from typing import NamedTuple

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)

from edge.updates.trust.releases import ReleasesUnreachable
from shared.errors import ReleaseError
from shared.format import date

ABSENT = (403, 404)


class DistrustReason(NamedTuple):
    """What a kind of error means, said of a gateway; and what to do."""

    kind: type[Exception]
    what: str
    fix: str


REASONS = (
    DistrustReason(
        ExpiredMetadataError,
        "serves releases that are out of date",
        "check that the cloud runs, and this device's clock",
    ),
    DistrustReason(
        BadVersionNumberError,
        "serves older releases than this device has seen",
        "serve what was published last; somebody may be replaying old releases",
    ),
    DistrustReason(
        UnsignedMetadataError,
        "serves releases that too few of the trusted keys have signed",
        "sign with `splitsight fleet release sign`, or check that the gateway is yours",
    ),
    DistrustReason(
        LengthOrHashMismatchError,
        "serves a mixture of two states",
        "copy the repository again: take timestamp.json first, put it in place last",
    ),
    DistrustReason(
        DownloadLengthMismatchError,
        "serves more than was promised",
        "check that the gateway is yours",
    ),
    DistrustReason(
        RepositoryError,
        "serves something that can't be believed",
        "check the gateway's address",
    ),
)


def explain(error: RepositoryError | DownloadError, gateway: str, now: float) -> ReleaseError:
    """now: the UTC against which expiry was checked."""
    if isinstance(error, DownloadHTTPError) and error.status_code in ABSENT:
        return ReleaseError(
            f"{gateway} lacks what it promises ({error})",
            fix="publish with `splitsight fleet release publish`",
        )
    for kind, what, fix in REASONS:
        if isinstance(error, kind):
            when = date(now)
            return ReleaseError(f"{gateway} {what} ({error}; it is {when})", fix=fix)
    # python-tuf wraps what it does not know, and keeps the reason as the cause.
    reason = str(error.__cause__ or error) or "no answer in time"
    return ReleasesUnreachable(f"{gateway} can't be read ({reason})", fix="it is tried again later")
