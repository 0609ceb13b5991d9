"""Which parts' pictures are wanted off the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from shared.errors import SettingsError

Keep = Literal["uncertain", "rejected", "labelled", "all"]
KEEPS: tuple[Keep, ...] = get_args(Keep)
_KEPT: dict[Keep, dict[str, str | bool]] = {
    "uncertain": {"doubtful": True},
    "rejected": {"verdict": "reject"},
    "labelled": {"reviewed": True},
    "all": {},
}
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PERIOD = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([mhdw])")

Asked = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class PartSelection:
    """Which parts.

    keep      uncertain: the box was not sure, or had no picture; rejected; labelled by an
              inspector; all
    since     UTC seconds; received from then on
    devices   none: of any
    """

    keep: Keep
    since: float
    devices: tuple[str, ...] = ()
    site: str = ""
    line: str = ""
    lot: str = ""
    bundle: str = ""

    def questions(self) -> Iterator[Asked]:
        """What the API is asked: of each device by itself."""
        places = {"site": self.site, "line": self.line, "lot": self.lot, "bundle": self.bundle}
        asked: Asked = {
            **_KEPT[self.keep],
            **{name: value for name, value in places.items() if value},
            "since": self.since,
        }
        if not self.devices:
            yield asked
        for device in self.devices:
            yield {**asked, "device": device}


def keep_named(name: str) -> Keep:
    """Raises SettingsError where nothing is kept by that name."""
    chosen = next((known for known in KEEPS if known == name), None)
    if chosen is None:
        raise SettingsError(f"--keep is {name!r}", fix=f"use one of {', '.join(KEEPS)}")
    return chosen


def seconds_of(period: str) -> float:
    """24h → 86400. Raises SettingsError."""
    found = _PERIOD.fullmatch(period.strip())
    if found is None or not float(found[1]):
        raise SettingsError(
            f"--last is {period!r}", fix="give a number and m, h, d or w, say 24h or 7d"
        )
    return float(found[1]) * _UNITS[found[2]]
