"""How others are told of alerts. In the cloud's file alone: no page may have it call an address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.loopback import is_loopback
from shared.settings import Settings

LEAST_SECRET = 16


class WebhookSettings(Settings):
    """A program that is told by HTTP POST, with JSON and an HMAC of it."""

    url: str = Field(description="https://…; http only on this machine")
    secret: SecretStr = Field(
        description="16 characters up: header `splitsight-signature` is `t=SECONDS,v1=` and the "
        "HMAC-SHA256 of `SECONDS.BODY` under it, hexadecimal"
    )
    ca: Path | None = Field(default=None, description="of its certificate, PEM; none: the system's")
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("it is no address that begins with https://")
        if parts.username or parts.password:
            raise ValueError("it has a password in it: the secret signs what is sent")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("others could read along: use https://")
        return url

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError("it is shorter than 16 characters: `openssl rand -hex 16` makes one")
        return secret


class MailSettings(Settings):
    """A mail server that takes mails for people."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = Field(
        default=True, description="nothing is said before TLS is; false only on this machine"
    )
    user: str = Field(default="", description="empty: it takes mails without a sign-in")
    password: SecretStr | None = None
    sender: str = Field(pattern=r"^[^\s@]+@[^\s@]+$", description="From: of the mails")
    to: tuple[str, ...] = Field(min_length=1, max_length=50)
    ca: Path | None = Field(default=None, description="of its certificate, PEM; none: the system's")
    timeout_s: float = Field(default=20.0, gt=0, le=120)

    @field_validator("to")
    @classmethod
    def _addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for one in to:
            if one.count("@") != 1 or any(sign.isspace() for sign in one):
                raise ValueError(f"{one!r} is no mail address")
        return to

    @model_validator(mode="after")
    def _secret_travels_closed(self) -> MailSettings:
        if not self.starttls and not is_loopback(self.host):
            raise ValueError("without starttls others could read along: leave it out")
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password belong together")
        return self


class AlertMqttSettings(Settings):
    """Notices on the broker, as JSON, for whatever else listens there: a lamp, a panel, Node-RED.

    The topic is splitsight/v1/SITE/LINE/alert, and splitsight/v1/alert for the cloud itself;
    nothing is retained.
    """

    enabled: bool = False


class AlertSettings(Settings):
    """What is told, and whom, when something is wrong."""

    every_s: float = Field(
        default=2.0, ge=0.1, le=60, description="between two looks at what is wrong"
    )
    address: str = Field(
        default="", description="of this cloud as people reach it, for links in notices"
    )
    webhooks: tuple[WebhookSettings, ...] = Field(default=(), max_length=10)
    mail: MailSettings | None = None
    mqtt: AlertMqttSettings = AlertMqttSettings()
