"""What `api.oidc` says: where people have an account elsewhere, and what they may do here."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.loopback import is_loopback
from shared.settings import Settings
from shared.web.access import Role


class OidcSettings(Settings):
    """A provider of sign-ins that speaks OpenID Connect; passwords stay beside it."""

    issuer: str = Field(
        description="as the provider writes itself: https://login.example.org/plant"
    )
    client_id: str = Field(min_length=1, description="by which the provider knows this cloud")
    client_secret: SecretStr | None = Field(
        default=None, description="what the provider gave with it; none: a public client, with PKCE"
    )
    url: str = Field(
        description="where people reach this cloud, its path included; the provider must know "
        "URL/sign-in/oidc/back as a redirect URI"
    )
    name: str = Field(default="", max_length=40, description="on the button; empty: the host's")
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile", "email"), description="what is asked for; openid is always"
    )
    name_claim: str = Field(
        default="preferred_username", description="what an account is called when it is made"
    )
    role_claim: str = Field(default="groups", description="what decides the role; a.b: b within a")
    roles: dict[str, Role] = Field(
        min_length=1, description="role by value of that claim; of several the highest counts"
    )
    ca: Path | None = Field(
        default=None, description="who signed the provider's certificate, PEM; none: the usual ones"
    )
    skew_s: float = Field(
        default=60.0, ge=0, le=300, description="by which the provider's clock may differ"
    )

    @field_validator("issuer", "url")
    @classmethod
    def _secret(cls, address: str) -> str:
        parts = urlsplit(address)
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not plain:
            raise ValueError(f"{address!r} must begin with https://: what passes there is secret")
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{address!r} is no address without ? and #")
        return address.rstrip("/") if parts.path in {"", "/"} else address

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.name or str(urlsplit(self.issuer).hostname)
