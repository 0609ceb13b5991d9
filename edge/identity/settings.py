"""Where a box gets its certificate from, and where it keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.errors import IdentityError
from shared.redaction import KNOWN
from shared.settings import Settings
from shared.transport.mqtt import TlsSettings

HELD = "identity.pem"


class DeviceIdentitySettings(Settings):
    """A certificate from the fleet's gateway; the connection to the broker shows it."""

    renamed: ClassVar[Mapping[str, str]] = {"door": "gateway"}

    folder: Path = Field(default=Path("identity"), description="for the key and the certificate")
    gateway: str = Field(description="of the cloud: https://HOST:PORT")
    ca: Path = Field(description="the fleet's authority, ca.pem of `splitsight fleet init`")
    claim: SecretStr | None = Field(default=None, description="what `splitsight fleet claim` said")
    claim_file: Path | None = Field(default=None, description="the same, in a file's first line")

    @field_validator("gateway")
    @classmethod
    def _is_a_gateway(cls, gateway: str) -> str:
        parts = urlsplit(gateway)
        extra = parts.username is not None or parts.query or parts.fragment
        if extra or parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
            raise ValueError("must be https://HOST:PORT and nothing else")
        return gateway.rstrip("/")

    @model_validator(mode="after")
    def _one_claim(self) -> DeviceIdentitySettings:
        if self.claim is not None and self.claim_file is not None:
            raise ValueError("claim and claim_file are both set: keep one")
        return self

    @property
    def tls(self) -> TlsSettings:
        """What the connection to the broker shows and trusts."""
        return TlsSettings(ca=self.ca, certificate=self.folder / HELD, key=None)

    def token(self) -> str | None:
        """The claim token as it is now; None where there is none yet.

        Raises IdentityError where its file can't be read.
        """
        if self.claim is not None:
            return self.claim.get_secret_value().strip() or None
        if self.claim_file is None:
            return None
        try:
            lines = self.claim_file.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise IdentityError(
                f"identity.claim_file can't be read ({error})", fix="check its owner"
            ) from error
        if lines:
            KNOWN.add(lines[0])
        return lines[0] if lines else None
