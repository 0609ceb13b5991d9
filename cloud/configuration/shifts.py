"""When a plant's shifts are, by the plant's own clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from shared.settings import Settings

DAY_MINUTES = 24 * 60
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, slots=True)
class WorkShift:
    """One shift of one day.

    day           on which it begins, by the plant's calendar: a night shift ends on the next
    since, until  UTC seconds; `until` is not in it
    """

    name: str
    day: date
    since: float
    until: float

    @property
    def minutes(self) -> float:
        return (self.until - self.since) / 60


class ShiftTimes(Settings):
    """One shift of every day; one that ends at or before its start ends on the next day."""

    name: str = Field(min_length=1, max_length=32, pattern=r"^[^\x00-\x1f/]+$")
    starts: str = Field(description="HH:MM by the plant's clock")
    ends: str = Field(description="HH:MM; before `starts`: on the next day")

    @field_validator("starts", "ends", mode="before")
    @classmethod
    def _is_time(cls, value: object) -> object:
        # YAML of version 1.1 reads 06:00 without quotes as 360, minutes or seconds: nobody knows.
        if not isinstance(value, str) or TIME.fullmatch(value) is None:
            raise ValueError(f"{value!r} is no time of day: write it in quotes, as '06:00'")
        return value

    @property
    def begins(self) -> int:
        """Minutes after midnight."""
        return _minutes(self.starts)

    @property
    def lasts(self) -> int:
        """Minutes, on a day of 24 hours."""
        return (_minutes(self.ends) - self.begins - 1) % DAY_MINUTES + 1


class ShiftSettings(Settings):
    """The shifts of every day and the clock that they go by."""

    zone: str = Field(default="UTC", description="the plant's time zone, such as Europe/Berlin")
    times: tuple[ShiftTimes, ...] = Field(
        default=(
            ShiftTimes(name="early", starts="06:00", ends="14:00"),
            ShiftTimes(name="late", starts="14:00", ends="22:00"),
            ShiftTimes(name="night", starts="22:00", ends="06:00"),
        ),
        min_length=1,
        max_length=12,
        description="in the order of the day; time between two belongs to no shift",
    )

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{zone!r} is no time zone that this machine knows: write one such as "
                "Europe/Berlin, and install tzdata where none is known"
            ) from error
        return zone

    @model_validator(mode="after")
    def _apart(self) -> ShiftSettings:
        names = [one.name for one in self.times]
        if len(set(names)) < len(names):
            raise ValueError("two shifts have one name")
        taken = [0] * DAY_MINUTES
        for one in self.times:
            for minute in range(one.begins, one.begins + one.lasts):
                taken[minute % DAY_MINUTES] += 1
        if max(taken) > 1:
            at = taken.index(2)
            raise ValueError(f"two shifts are at work at {at // 60:02}:{at % 60:02}")
        return self

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.times]

    def day_of(self, at: float) -> date:
        """The plant's calendar day at this moment, UTC seconds."""
        return datetime.fromtimestamp(at, _zone(self.zone)).date()

    def on(self, day: date) -> Sequence[WorkShift]:
        """The shifts that begin on this day, in their order."""
        return [self._placed(one, day) for one in self.times]

    def day(self, day: date) -> WorkShift:
        """The whole calendar day, midnight to midnight, by the plant's clock."""
        midnight, next_one = (
            _utc(datetime.combine(one, time()), self.zone) for one in (day, day + timedelta(days=1))
        )
        return WorkShift("day", day, midnight, next_one)

    def at(self, at: float) -> WorkShift | None:
        """The shift at this moment, UTC seconds; None between two."""
        day = self.day_of(at)
        for one in (*self.on(day), *self.on(day - timedelta(days=1))):
            if one.since <= at < one.until:
                return one
        return None

    def named(self, name: str, day: date) -> WorkShift | None:
        """A shift that begins on this day; None where none has this name."""
        return next((one for one in self.on(day) if one.name == name), None)

    def last(self, now: float, count: int) -> list[WorkShift]:
        """The last shifts that have begun, the newest first."""
        day, found = self.day_of(now), list[WorkShift]()
        while len(found) < count:
            found += [one for one in reversed(self.on(day)) if one.since <= now]
            day -= timedelta(days=1)
        return found[:count]

    def _placed(self, one: ShiftTimes, day: date) -> WorkShift:
        # By the clock on the wall: the night in which it is set back is an hour longer.
        midnight = datetime.combine(day, time())
        starts = midnight + timedelta(minutes=one.begins)
        ends = starts + timedelta(minutes=one.lasts)
        return WorkShift(one.name, day, _utc(starts, self.zone), _utc(ends, self.zone))


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _utc(wall: datetime, zone: str) -> float:
    """UTC seconds of a time on the wall: of two the first; one that the clock skips as if it had
    not been set yet."""
    return wall.replace(tzinfo=_zone(zone)).timestamp()


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
