"""For how long inspections are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from shared.settings import Settings

DAY_S = 86_400.0
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class KeptFor:
    """How long inspections are kept, days since they came; None: for ever.

    labelled   of parts that an inspector has labelled, or that were drawn at random for one: of
               these a promise is made, and from these a model learns
    """

    days: float | None = 90.0
    labelled: float | None = None


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Of all sites, but for those that have one of their own."""

    default: KeptFor = KeptFor()
    sites: Mapping[str, KeptFor] = field(default_factory=dict)

    def of(self, site: str) -> KeptFor:
        return self.sites.get(site, self.default)

    def cutoff(self, site: str, now: float) -> float:
        """What came to this site before then goes, unless it is labelled; whole minutes."""
        days = self.of(site).days
        return -math.inf if days is None else _minute(now - days * DAY_S)

    def goes(self, site: str, received_at: float, now: float, *, labelled: bool) -> bool:
        """Whether an inspection is old enough."""
        kept = self.of(site)
        days = kept.labelled if labelled else kept.days
        return days is not None and received_at < _minute(now - days * DAY_S)

    def latest(self, now: float) -> float:
        """Nothing that came later than this goes anywhere."""
        every = [self.default, *self.sites.values()]
        days = [one for kept in every for one in (kept.days, kept.labelled) if one is not None]
        return _minute(now - min(days) * DAY_S) if days else -math.inf


def _minute(at: float) -> float:
    return float(math.floor(at / MINUTE_S) * MINUTE_S)


class KeptForSettings(Settings):
    """How long inspections are kept, days since they came; 0: for ever."""

    days: float = Field(90.0, ge=0, le=36_500, description="of parts that nobody looked at")
    labelled_days: float = Field(
        0.0,
        ge=0,
        le=36_500,
        description="of parts with an inspector's label, and of those drawn at random for one",
    )

    def kept_for(self) -> KeptFor:
        return KeptFor(self.days or None, self.labelled_days or None)


class RetentionSettings(KeptForSettings):
    """What is deleted by itself, with what the tail said and what was labelled of it; counts over
    time stay."""

    sites: dict[str, KeptForSettings] = Field(
        default_factory=dict, description="of a site, instead of what is said here"
    )

    def policy(self) -> RetentionPolicy:
        own = {site: kept.kept_for() for site, kept in self.sites.items()}
        return RetentionPolicy(self.kept_for(), own)
