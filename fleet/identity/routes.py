"""What operators ask of identities, under /api/fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from fleet.identity.claims import LONGEST_HOURS, Claim
from fleet.identity.registrar import Registrar
from fleet.identity.tables import MAX_REASON, Standing
from shared.topics import NAME, Address
from shared.web.roles import needs

_NAME = f"^{NAME.pattern}$"
Device = Annotated[str, Path(max_length=63)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hours(_Asked):
    """How long a claim can be used."""

    hours: float = Field(default=24.0, gt=0, le=LONGEST_HOURS)


class ClaimWanted(Hours):
    """Which device a claim is for."""

    site: str = Field(pattern=_NAME)
    line: str = Field(pattern=_NAME)
    device: str = Field(pattern=_NAME)


class RevocationReason(_Asked):
    """Why a device is put out."""

    reason: str = Field(min_length=1, max_length=MAX_REASON)


class ClaimMade(BaseModel):
    """The token is shown this once."""

    token: str
    site: str
    line: str
    device: str
    expires_at: float = Field(description="UTC seconds")


class ClaimView(BaseModel):
    """A claim without its token, of which only a hash is kept."""

    site: str
    line: str
    device: str
    made_at: float = Field(description="UTC seconds")
    expires_at: float = Field(description="UTC seconds")
    used_at: float | None = Field(description="UTC seconds; null: not used")


class IdentityView(BaseModel):
    """A device that has, or had, a certificate."""

    device: str
    site: str
    line: str
    standing: Standing
    reason: str
    serial: str = Field(description="of its latest certificate")
    not_after: float = Field(description="UTC seconds")
    enrolled_at: float = Field(description="UTC seconds")
    renewed_at: float = Field(description="UTC seconds")


def identity_routes(registrar: Registrar, readmitted: Callable[[str], None]) -> APIRouter:
    """Everything about identities. `readmitted` is told whom a person has let back in."""
    routes = APIRouter(prefix="/api/fleet")

    @routes.get("/claims", dependencies=[needs("engineer", "identity")])
    def claims() -> list[ClaimView]:
        """Every claim, newest first."""
        return [ClaimView.model_validate(c, from_attributes=True) for c in registrar.claims()]

    @routes.post(
        "/claims", status_code=201, dependencies=[needs("engineer", "identity", "claim make")]
    )
    def claim(wanted: ClaimWanted) -> ClaimMade:
        """A token that buys one device its certificate, once."""
        address = Address(wanted.site, wanted.line, wanted.device)
        return _made(registrar.claim(address, wanted.hours))

    @routes.get("/identities", dependencies=[needs("viewer")])
    def identities() -> list[IdentityView]:
        """Every device that has enrolled."""
        return [IdentityView.model_validate(d, from_attributes=True) for d in registrar.devices()]

    @routes.post(
        "/identities/{device}/revoke",
        status_code=204,
        dependencies=[needs("engineer", "identity", "identity revoke")],
    )
    def revoke(device: Device, why: RevocationReason) -> None:
        """Put a device out: within a minute it can neither send nor hear anything."""
        registrar.revoke(device, why.reason)

    @routes.post(
        "/identities/{device}/readmit",
        status_code=201,
        dependencies=[needs("engineer", "identity", "identity readmit")],
    )
    def readmit(device: Device, wanted: Hours) -> ClaimMade:
        """Let a held or revoked device enrol anew."""
        made = _made(registrar.readmit(device, wanted.hours))
        readmitted(device)
        return made

    return routes


def _made(claim: Claim) -> ClaimMade:
    where = claim.address
    return ClaimMade(
        token=claim.token,
        site=where.site,
        line=where.line,
        device=where.device,
        expires_at=claim.expires_at,
    )
