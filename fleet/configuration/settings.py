"""What the cloud's configuration can say under `fleet:`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.settings import Settings


class GatewaySettings(Settings):
    """Where devices enrol and fetch releases, over HTTPS with the fleet's own certificate."""

    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8443, ge=0, le=65535, description="0 takes any free port")
    patience_s: float = Field(
        default=10.0, gt=0, le=300, description="how long a device may take to say what it wants"
    )


class FleetIdentitySettings(Settings):
    """Devices' certificates."""

    certificate_days: float = Field(
        default=90.0, gt=0, le=825, description="how long one lasts; renewed after half of it"
    )
    passphrase_file: Path | None = Field(
        default=None, description="its first line opens the authority's key; none: not locked"
    )


class FleetSettings(Settings):
    """The fleet of this cloud."""

    renamed: ClassVar[Mapping[str, str]] = {"door": "gateway"}

    folder: Path = Field(
        default=Path("fleet"),
        description="what `splitsight fleet init` made: authority, releases, database",
    )
    runs: Path = Field(
        default=Path("runs"),
        description="where runs of federated rounds lie, a folder each, to be shown on /rounds",
    )
    approvals: int = Field(
        default=1,
        ge=1,
        le=2,
        description="people that a rollout takes; 2: each begins with an approval, and not by whom "
        "it was started",
    )
    gateway: GatewaySettings = GatewaySettings()
    identity: FleetIdentitySettings = FleetIdentitySettings()
