"""What things cost here."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings


class PriceSettings(Settings):
    """Prices for the page `/cost`; 0: that is not counted. The currency is a word for people."""

    currency: str = Field(default="EUR", max_length=12, description="shown beside each amount")
    network_gb: float = Field(default=0.0, ge=0, le=1e6, description="of 10⁹ B from plant to cloud")
    cloud_hour: float = Field(default=0.0, ge=0, le=1e6, description="of an hour of tails")
    storage_gb_month: float = Field(default=0.0, ge=0, le=1e6, description="of 10⁹ B for 30 days")
