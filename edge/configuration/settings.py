"""The agent's configuration, put together from the kinds that are installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model, model_validator

from edge.actuator.base import ACTUATORS
from edge.camera.base import CAMERAS
from edge.identity.settings import DeviceIdentitySettings
from edge.updates.settings import UpdateSettings
from shared.certification.promises import GateSpec
from shared.contracts import PicturePolicy
from shared.inspection import LINE_COLUMNS
from shared.runtime.settings import RuntimeSettings
from shared.settings import Settings, load_settings, resolve_paths
from shared.topics import NAME, Address
from shared.transport.mqtt import BrokerSettings

MIB = 1 << 20
_NAME = f"^{NAME.pattern}$"


class GateOverride(Settings):
    """Thresholds instead of the bundle's. The bundle's certificate does not cover them."""

    pass_below: float = Field(ge=0, le=1)
    reject_from: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> GateOverride:
        if self.pass_below > self.reject_from:
            raise ValueError("pass_below must not lie above reject_from")
        return self

    def applied_to(self, spec: GateSpec) -> GateSpec:
        return spec.model_copy(update=self.model_dump())


class JournalSettings(Settings):
    """What the box keeps on its disk, and how much of it."""

    path: Path = Field(default=Path("journal.db"), description="of the SQLite file")
    max_bytes: int = Field(
        default=256 * MIB, ge=MIB, description="for inspections, sent or waiting"
    )
    max_days: float = Field(
        default=90,
        gt=0,
        description="of running, for which an inspection waits for the cloud; then it is dropped",
    )
    ring_bytes: int = Field(
        default=512 * MIB, ge=0, description="for pictures; the oldest go first"
    )
    label_bytes: int = Field(
        default=256 * MIB, ge=0, description="for pictures that an inspector has labelled"
    )
    ring_keep: Literal["uncertain", "all", "none"] = Field(
        default="uncertain", description="uncertain: escalated, rejected and every 20th passed part"
    )


class ProductSettings(Settings):
    """What holds for each part of which the camera says nothing else."""


class ControlSettings(Settings):
    """Parts that a person looks at whatever the system makes of them, so that it shows whether the
    bundle's promise still holds."""

    parts_per_hour: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="about so many are drawn at random while the line runs as usual, and diverted "
        "for review; 0: none",
    )
    usual_pace: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="parts that the line makes in an hour as usual; each is drawn with the same "
        "probability, parts_per_hour / usual_pace, however fast it runs just now",
    )

    @property
    def share(self) -> float:
        """Of all parts, 0–1."""
        return min(1.0, self.parts_per_hour / self.usual_pace) if self.usual_pace else 0.0

    @model_validator(mode="after")
    def _of_a_known_pace(self) -> ControlSettings:
        if self.parts_per_hour and self.usual_pace is None:
            raise ValueError(
                "parts_per_hour needs usual_pace beside it: parts that the line makes in an hour"
            )
        return self


class SketchSettings(Settings):
    """What the box sums up of scores and pictures, so that the cloud can tell when the line
    changes: a darker lamp, a lens out of focus. No picture can be made of it."""

    parts: int = Field(default=10, ge=1, le=1000, description="that one sketch is of, at least")
    seconds: float = Field(
        default=2.0, ge=0.1, le=60, description="between two sketches, at least; one has some 200 B"
    )


class DemandSettings(Settings):
    """Pictures that people in the cloud ask to see, one by one. This box has the last word, and it
    can't be changed from afar."""

    policy: PicturePolicy = Field(
        default="never",
        description="never: no picture leaves this box, nor a map of one; region: only the place "
        "of it that is the most suspicious; full: all of it",
    )


class LearningSettings(Settings):
    """Taking part in federated rounds; needs the extra `learn`."""

    enabled: bool = Field(
        default=False, description="train on this device's own labels when a round asks for it"
    )
    domain: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="the lighting, line or plant that its pictures belong to; None: the line",
    )
    folder: Path = Field(
        default=Path("learning"), description="for base networks and what stays on this device"
    )
    priority: Literal["idle", "low"] = Field(
        default="idle",
        description="idle: the learner gets only what nothing else wants; low: a tenth of a core "
        "on a machine that is always busy",
    )
    memory_mb: int = Field(
        default=1024, ge=64, description="the learner is ended where it takes more"
    )
    min_labels: int = Field(
        default=8, ge=2, description="labelled parts below which this device does not train"
    )


class EdgeSettings(Settings):
    """One camera box on one line. Paths are relative to the configuration's folder."""

    site: str = Field(pattern=_NAME)
    line: str = Field(pattern=_NAME)
    device: str = Field(pattern=_NAME, description="unique in its site")
    bundle: Path = Field(description="a bundle's folder or zip file")
    broker: BrokerSettings = BrokerSettings()  # type: ignore[call-arg]
    identity: DeviceIdentitySettings | None = Field(
        default=None, description="a certificate from the fleet; None: broker.tls, or none"
    )
    camera: Settings
    frozen_after: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="parts in a row that may have the very same picture, or one on which "
        "nothing can be seen where that is unusual; those after them count as not seen; 0: any "
        "number; a replayed folder may repeat itself anyhow",
    )
    actuator: Settings
    runtime: RuntimeSettings = RuntimeSettings()
    deadline_ms: int = Field(default=500, ge=1, le=600_000, description="from trigger to verdict")
    gate: GateOverride | None = None
    escalates: bool = Field(
        default=True,
        description="false: this site has no cloud; a part that the head is not sure of goes to "
        "review at once",
    )
    control: ControlSettings = ControlSettings()
    product: ProductSettings = ProductSettings()
    sketches: SketchSettings = SketchSettings()
    journal: JournalSettings = JournalSettings()
    pictures: DemandSettings = DemandSettings()
    learning: LearningSettings = LearningSettings()
    updates: UpdateSettings | None = Field(
        default=None, description="releases from the fleet; None: what is here stays"
    )

    @model_validator(mode="after")
    def _one_identity(self) -> EdgeSettings:
        if self.identity is not None and self.broker.tls is not None:
            raise ValueError("broker.tls comes from identity: leave one of them out")
        return self

    @model_validator(mode="after")
    def _promise_of_the_bundle(self) -> EdgeSettings:
        if self.gate is not None and self.control.parts_per_hour:
            raise ValueError(
                "control measures what the bundle promises, and `gate` sets other thresholds than "
                "the bundle's: leave one of them out"
            )
        return self

    @property
    def address(self) -> Address:
        return Address(self.site, self.line, self.device)


@cache
def settings_model() -> type[EdgeSettings]:
    """EdgeSettings with `camera` and `actuator` as unions of the kinds that can be loaded, and
    `product` with what a line can say of its parts."""
    said: dict[str, Any] = {
        column.name: (
            str,
            Field(default="", max_length=column.stored.longest, description=column.stored.about),
        )
        for column in LINE_COLUMNS
    }
    product = create_model(
        "ProductSettings", __base__=ProductSettings, __doc__=ProductSettings.__doc__, **said
    )
    return create_model(
        "EdgeSettings",
        __base__=EdgeSettings,
        __doc__=EdgeSettings.__doc__,
        camera=(CAMERAS.settings(), ...),
        actuator=(ACTUATORS.settings(), ...),
        product=(product, product()),
    )


def load_edge_settings(path: Path) -> EdgeSettings:
    """Read a configuration file. Raises SettingsError that lists every mistake."""
    return resolve_paths(load_settings(path, settings_model()), path.resolve().parent)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an edge configuration, with every installed kind."""
    return settings_model().model_json_schema()
