"""One device of a scenario: what its box, its line and its link are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hardware_sim.line.run import LineRunSettings
from hardware_sim.network.conditions import Conditions
from shared.settings import Settings
from shared.topics import NAME


class DeviceSettings(Settings):
    """One camera box, its line, and the link to its broker."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    line: LineRunSettings = LineRunSettings()
    network: Conditions = Field(default=Conditions(), description="when nothing is wrong")
    margin_ms: float = Field(
        default=100.0,
        ge=0,
        description="the box decides by itself so long before the ejector must know",
    )
    profile: str | None = Field(
        default=None, description="of the hardware it stands for; none: this machine as it is"
    )

    learns: bool = Field(
        default=False, description="it takes part in federated rounds, with what operators said"
    )

    ring_keep: Literal["uncertain", "all", "none"] = Field(
        default="uncertain", description="which pictures the box keeps, as in journal.ring_keep"
    )

    @property
    def given_ms(self) -> float:
        """From trigger to the last instant at which the ejector can obey."""
        return self.line.line.deadline_s * 1000

    @property
    def deadline_ms(self) -> int:
        """What the box is told to keep."""
        return int(self.given_ms - self.margin_ms)

    def parts_in(self, seconds: float) -> int:
        """How many parts its line brings in so long, at its first speed."""
        return max(1, int(seconds * self.line.line.speed / self.line.line.pitch))
