"""Claim tokens: one device's first certificate each, once, for some hours."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlmodel import Session, col, select

from fleet.identity.certificates import require_clock
from fleet.identity.requests import DeviceRequest
from fleet.identity.tables import ClaimRecord
from shared.errors import ClaimRefused, SettingsError
from shared.format import date
from shared.topics import Address

TOKEN_BYTES = 24
LONGEST_HOURS = 24 * 90
# By how much a claim may have been made in the future: a clock that is set while it lies there.
AHEAD_S = 3600.0
ANOTHER = "make another with `splitsight fleet claim`"


@dataclass(frozen=True, slots=True)
class Claim:
    """token: to be shown once, since only its hash is stored; expires_at: UTC seconds."""

    token: str
    address: Address
    expires_at: float


def make_claim(session: Session, address: Address, hours: float, now: float) -> Claim:
    """A new claim. Raises SettingsError for a time that is no good."""
    require_clock(now)
    if not 0 < hours <= LONGEST_HOURS:
        raise SettingsError(
            f"a claim for {hours:g} hours was wanted", fix=f"more than 0, {LONGEST_HOURS} at most"
        )
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = now + hours * 3600
    session.add(
        ClaimRecord(
            digest=_digest(token),
            site=address.site,
            line=address.line,
            device=address.device,
            made_at=now,
            expires_at=expires_at,
        )
    )
    return Claim(token, address, expires_at)


def list_claims(session: Session) -> list[ClaimRecord]:
    """Every claim, newest first."""
    return list(session.exec(select(ClaimRecord).order_by(col(ClaimRecord.made_at).desc())))


def redeem(session: Session, token: str, request: DeviceRequest, now: float) -> ClaimRecord:
    """The claim behind a token, used for this request from now on.

    The same key may come again while the claim lasts: an answer can get lost on its way.
    Raises ClaimRefused where it is unknown, expired, used, or for another device.
    """
    claim = session.get(ClaimRecord, _digest(token))
    if claim is None:
        raise ClaimRefused(
            "the claim token is unknown", fix=f"check for typing errors, or {ANOTHER}"
        )
    if claim.made_at > now + AHEAD_S:
        raise ClaimRefused(
            f"the claim was made on {date(claim.made_at)}, by a clock that was ahead", fix=ANOTHER
        )
    if now >= claim.expires_at:
        hours = (now - claim.expires_at) / 3600
        raise ClaimRefused(f"the claim expired {hours:.1f} hours ago", fix=ANOTHER)
    if request.device != claim.device:
        raise ClaimRefused(
            f"the claim is for {claim.device}, {request.device} came with it",
            fix=f"set device: {claim.device}, or {ANOTHER}",
        )
    if claim.key not in {None, request.fingerprint}:
        raise ClaimRefused(
            f"the claim for {claim.device} was used already, by another key",
            fix=f"{ANOTHER}; if nobody of yours used it: `splitsight fleet revoke {claim.device}`",
        )
    claim.used_at = claim.used_at or now
    claim.key = request.fingerprint
    session.add(claim)
    return claim


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
