"""What `splitsight cloud serve` can be told."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, create_model, field_validator, model_validator

from cloud.configuration.alert_settings import AlertSettings
from cloud.configuration.oidc import OidcSettings
from cloud.configuration.prices import PriceSettings
from cloud.configuration.retention import RetentionSettings
from cloud.configuration.shifts import ShiftSettings
from shared.address import DatabaseAddress
from shared.contracts import PicturePolicy
from shared.errors import SettingsError
from shared.loopback import is_loopback
from shared.plugins.services import service_kinds
from shared.runtime.settings import RuntimeSettings
from shared.settings import Settings, load_settings, resolve_paths
from shared.transport.mqtt import BrokerSettings

BrokerKind = Literal["auto", "mosquitto", "iotcore"]
DEFAULT_DATABASE = "splitsight.db"
SQLITE = "sqlite:///"


class SecureListenerSettings(Settings):
    """Where devices on other machines connect: with a certificate of the fleet's authority."""

    host: str = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0: all")
    port: int = Field(default=8883, ge=1, le=65535)
    ca: Path = Field(description="the authority that signed devices' certificates, PEM")
    certificate: Path = Field(description="the broker's own, PEM")
    key: Path = Field(description="the broker's private key, PEM")
    crl: Path = Field(description="the list of revoked certificates; changes count at once")


class EmbeddedBrokerSettings(Settings):
    """The broker that serves on this machine alone; production uses one of its own."""

    enabled: bool = Field(True, description="start a broker at broker.host and broker.port")
    kind: BrokerKind = Field("auto", description="auto takes mosquitto where it is installed")
    secure: SecureListenerSettings | None = Field(
        default=None, description="a second listener for devices elsewhere; needs mosquitto"
    )

    @model_validator(mode="after")
    def _can_be_secured(self) -> EmbeddedBrokerSettings:
        if self.secure is not None and self.kind == "iotcore":
            raise ValueError(
                "iotcore can't refuse unknown certificates: set kind: mosquitto, or leave out "
                "`secure`"
            )
        return self


class TailRuntimeSettings(RuntimeSettings):
    """Which backend runs the tail."""

    threads: int = Field(default=0, ge=0, le=256, description="0 lets the backend choose")


class TailSettings(Settings):
    """How escalations are put together for the tail."""

    max_batch: int = Field(8, ge=1, le=256, description="parts that run together at most")
    max_wait_ms: float = Field(
        2.0, ge=0, le=100, description="how long a part waits for others that are arriving"
    )
    max_queue: int = Field(
        256, ge=1, le=65536, description="parts that wait at most; the device decides the rest"
    )


class QuotaSettings(Settings):
    """What a device may send; what is over it is not read, counted, and named in health."""

    messages_per_s: float = Field(
        200.0, ge=1, le=100_000, description="of one device, on average over ten seconds"
    )
    devices: int = Field(
        20_000, ge=1, le=1_000_000, description="that are heard within an hour, at most"
    )


class HttpTlsSettings(Settings):
    """What the API and the pages prove themselves with."""

    certificate: Path = Field(description="PEM, with those between it and its authority")
    key: Path = Field(description="its private key, PEM")


class PictureSettings(Settings):
    """Pictures of parts, which people here ask a box for, one by one. Each box has a rule of its
    own, and the last word."""

    policy: PicturePolicy = Field(
        default="full",
        description="never: none is shown; region: only the place that is the most suspicious; "
        "full: what the box gives",
    )
    sites: dict[str, PicturePolicy] = Field(
        default_factory=dict, description="another policy for some sites, by name"
    )
    reasons: bool = Field(default=False, description="whether who looks has to say why")
    at_once: bool = Field(
        default=False,
        description="whether the page of a part shows its picture to inspectors without being "
        "asked; each look is in the audit log either way",
    )
    of_box: int = Field(default=2, ge=1, le=16, description="fetched of one box at a time")
    wait_s: float = Field(default=20.0, gt=0, le=120, description="for a picture, at most")

    @model_validator(mode="after")
    def _said_or_asked(self) -> PictureSettings:
        if self.reasons and self.at_once:
            raise ValueError(
                "at_once shows pictures that nobody has asked for, and reasons wants to know why: "
                "leave one of them out"
            )
        return self


class SessionSettings(Settings):
    """How long somebody stays signed in."""

    idle_h: float = Field(
        default=4.0, gt=0, le=720, description="hours without a request, open pages counted in"
    )
    longest_h: float = Field(default=16.0, gt=0, le=720, description="hours in all")


class DriftSettings(Settings):
    """When parts count as unlike those of the beginning."""

    reference_parts: int = Field(
        default=500,
        ge=100,
        le=1_000_000,
        description="the first of a device, recipe and bundle, with which others are compared",
    )
    false_alarm: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="probability that a device and recipe whose parts stay the same are ever told, "
        "for as long as one reference lasts",
    )


class ApiSettings(Settings):
    """Where the API and the dashboard listen."""

    host: str = "127.0.0.1"
    port: int = Field(8765, ge=0, le=65535, description="0 takes any free port")
    tls: HttpTlsSettings | None = Field(
        default=None, description="speak HTTPS with this certificate; none: plain HTTP"
    )
    proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"),
        description="addresses and networks of proxies in front of it, which speak TLS: what they "
        "say of who calls is believed",
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="the path below which a reverse proxy serves this, such as /splitsight",
    )
    sessions: SessionSettings = SessionSettings()
    first_account: Path = Field(
        Path("first-account-link"),
        description="where the link that makes the first account is written, for the owner only",
    )
    oidc: OidcSettings | None = Field(
        default=None, description="a provider with which people can sign in, beside passwords"
    )
    token: SecretStr | None = Field(
        None,
        description="what a caller without an account must know, 16 characters up; deprecated: "
        "`splitsight cloud token add` makes better ones",
    )

    @model_validator(mode="after")
    def _protected(self) -> ApiSettings:
        if self.token is not None and len(self.token.get_secret_value()) < 16:
            raise ValueError(
                "token is shorter than 16 characters: `openssl rand -hex 16` makes one"
            )
        if self.exposed and self.token is None:
            raise ValueError(
                f"{self.host} can be reached from other machines, and passwords would travel in "
                "the open: set api.tls, or in api.proxies where a proxy that speaks TLS is"
            )
        return self

    @property
    def exposed(self) -> bool:
        """Whether others can read along, as far as is known."""
        networks = [ipaddress.ip_network(one, strict=False) for one in self.proxies]
        proxied = any(not one.is_loopback for one in networks)
        return self.tls is None and not proxied and not is_loopback(self.host)

    @field_validator("proxies")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for one in proxies:
            try:
                ipaddress.ip_network(one, strict=False)
            except ValueError as error:
                raise ValueError(f"{one!r} is no address and no network: {error}") from error
        return proxies


class CloudSettings(Settings):
    """The cloud service's configuration. Relative paths start at the file's own folder."""

    renamed: ClassVar[Mapping[str, str]] = {
        "tail.runtime": "runtime.name",
        "tail.device": "runtime.device",
        "tail.threads": "runtime.threads",
    }

    bundles: list[Path] = Field(
        min_length=1, description="the bundles whose tails run here, folders or zip files"
    )
    broker: BrokerSettings = BrokerSettings()  # type: ignore[call-arg]
    embedded_broker: EmbeddedBrokerSettings = EmbeddedBrokerSettings()  # type: ignore[call-arg]
    database: DatabaseAddress = Field(
        DatabaseAddress(f"{SQLITE}{DEFAULT_DATABASE}"),
        description="sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
    )
    runtime: TailRuntimeSettings = TailRuntimeSettings()
    tail: TailSettings = TailSettings()  # type: ignore[call-arg]
    quota: QuotaSettings = QuotaSettings()  # type: ignore[call-arg]
    api: ApiSettings = ApiSettings()  # type: ignore[call-arg]
    alerts: AlertSettings = AlertSettings()
    drift: DriftSettings = DriftSettings()
    shifts: ShiftSettings = ShiftSettings()
    prices: PriceSettings = PriceSettings()
    pictures: PictureSettings = PictureSettings()
    retention: RetentionSettings = RetentionSettings()  # type: ignore[call-arg]
    keep_maps: int = Field(
        20_000,
        ge=0,
        le=10_000_000,
        description="escalations whose defect map is kept, the newest ones; 2 to 6 kB each",
    )

    def placed(self, folder: Path) -> CloudSettings:
        """The same settings with relative paths made absolute from `folder`."""
        database = self.database
        if (raw := database.get_secret_value()).startswith(SQLITE):
            database = DatabaseAddress(f"{SQLITE}{folder / raw.removeprefix(SQLITE)}")
        moved = {"bundles": [folder / path for path in self.bundles], "database": database}
        return resolve_paths(self, folder).model_copy(update=moved)


@cache
def settings_model() -> type[CloudSettings]:
    """CloudSettings with a key for each service that is plugged in here."""
    fields: dict[str, Any] = {
        name: (kind.settings | None, None) for name, kind in service_kinds().items()
    }
    return create_model(
        "CloudSettings", __base__=CloudSettings, __doc__=CloudSettings.__doc__, **fields
    )


def load_cloud_settings(path: Path) -> CloudSettings:
    """Read and check a configuration file.

    Raises SettingsError that names every mistake with file and line.
    """
    settings = load_settings(path, settings_model()).placed(path.resolve().parent)
    if settings.embedded_broker.enabled and not is_loopback(settings.broker.host):
        raise SettingsError(
            f"the embedded broker would listen on {settings.broker.host}, open to everyone",
            fix="set broker.host: 127.0.0.1, or embedded_broker: {enabled: false} and run a "
            "broker with certificates there",
        )
    return settings


def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema, for editors and the reference."""
    return settings_model().model_json_schema()
