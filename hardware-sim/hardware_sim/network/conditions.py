"""What the network between agent and broker does to the bytes, as settings that can be replaced."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shared.settings import Settings


class LinkConditions(Settings):
    """One direction of a connection. The defaults change nothing."""

    latency_ms: float = Field(default=0.0, ge=0, le=60_000, description="added to every byte")
    jitter_ms: float = Field(
        default=0.0, ge=0, le=60_000, description="up to so much more, at random; the order is kept"
    )
    bytes_per_s: int | None = Field(
        default=None, ge=100, description="bandwidth, shared by all connections; none: unlimited"
    )
    swallow: bool = Field(
        default=False,
        description="half-open: everything vanishes, ends of connections too; a connection that "
        "lost bytes stays so until it is closed",
    )
    duplicate_share: float = Field(
        default=0.0, ge=0, le=1, description="of MQTT messages of QoS 1, delivered a second time"
    )
    late_share: float = Field(
        default=0.0, ge=0, le=1, description="of MQTT messages of QoS 1, overtaken by others"
    )
    late_ms: float = Field(default=1000.0, gt=0, le=600_000, description="how late those come")

    @property
    def picks_messages(self) -> bool:
        """Whether single MQTT messages are treated apart from the rest of the bytes."""
        return self.duplicate_share > 0 or self.late_share > 0


class Conditions(Settings):
    """Both directions of the link between a device and its broker."""

    up: LinkConditions = Field(default_factory=LinkConditions, description="device to broker")
    down: LinkConditions = Field(default_factory=LinkConditions, description="broker to device")
    partition: bool = Field(
        default=False,
        description="nothing passes and connections stay; what was sent waits for the end",
    )

    @classmethod
    def both(cls, **link: Any) -> Conditions:
        """The same conditions in both directions; `link` as the fields of LinkConditions."""
        return cls.model_validate({"up": link, "down": link})
