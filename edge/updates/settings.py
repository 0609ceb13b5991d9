"""How a box updates itself."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from shared.settings import Settings
from shared.storage.disks import BY_LABEL, RECORD_LABEL, ROOT_LABELS, RUNNING_SLOT

MIB = 1 << 20


class ImageUpdateSettings(Settings):
    """The disk of a device that was flashed."""

    record: Path = Field(default=Path(BY_LABEL, RECORD_LABEL), description="what says what boots")
    slot_a: Path = Path(BY_LABEL, ROOT_LABELS["a"])
    slot_b: Path = Path(BY_LABEL, ROOT_LABELS["b"])
    running: Path = Field(default=Path(RUNNING_SLOT), description="says a or b: which one runs")
    reboot: list[str] = Field(
        default=["systemctl", "reboot"], description="restarts the machine", min_length=1
    )


class UpdateSettings(Settings):
    """Releases from the fleet's gateway: checked, tried out, and kept or taken back."""

    folder: Path = Field(default=Path("updates"), description="for slots and what is under way")
    root: Path = Field(description="the root of trust that came with the device, root.json")
    server: str | None = Field(
        default=None, description="where releases come from; None: identity.gateway/releases"
    )
    ca: Path | None = Field(
        default=None, description="the authority of that server; None: identity.ca"
    )
    hardware: str | None = Field(
        default=None, description="what releases must fit; None: as this machine says"
    )
    reserve_bytes: int = Field(
        default=64 * MIB, ge=0, description="of the disk, that an update leaves free"
    )
    report_s: float = Field(
        default=30.0, ge=1, le=3600, description="between reports where nothing changes"
    )
    image: ImageUpdateSettings | None = Field(
        default=None, description="on a flashed device; None: images are not updated"
    )

    @field_validator("server")
    @classmethod
    def _is_a_server(cls, server: str | None) -> str | None:
        if server is None:
            return None
        parts = urlsplit(server)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ValueError("must be https://HOST:PORT/PATH")
        return server.rstrip("/")
