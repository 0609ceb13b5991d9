"""Settings from the cloud: two slots, checks, a trial and a way back, like any other release.

What is wanted is a mapping from dotted keys to values, laid over the configuration file. It is
applied by opening the box anew between two parts. What could cut a box off, or give it another
identity, can't be changed from afar.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.configuration.settings import EdgeSettings, load_edge_settings, settings_model
from edge.updates.base import Label, Offer, Unreachable
from edge.updates.hosts.restart import RestartHost
from edge.updates.slots import FolderSlots
from shared.errors import SettingsError, SplitsightError, UpdateError
from shared.log import get_logger
from shared.settings import read_settings, resolve_paths, validate
from shared.storage.slots import Slot

log = get_logger("updates")

SUFFIX = ".settings"
NAME = "settings"
Value = str | int | float | bool
CHANGEABLE = (
    "actuator", "camera", "control", "deadline_ms", "escalates", "frozen_after", "gate", "product",
    "runtime", "sketches",
)  # fmt: skip
CHANGEABLE_OF_JOURNAL = ("journal.max_bytes", "journal.ring_bytes", "journal.ring_keep")


class WantedSettings:
    """What the cloud wants, offered and served like a release; `Offers` and `Source`."""

    def __init__(self) -> None:
        self._payload = b""
        self._serial = 0

    def want(self, serial: int, values: Mapping[str, Value] | None) -> str:
        """The target that these values are; empty where the cloud leaves the settings."""
        if values is None:
            return ""
        self._payload = json.dumps(dict(values), sort_keys=True).encode()
        self._serial = serial
        return _target(self._payload)

    def offer(self, path: str, base: str) -> Offer:
        del base  # so small that nobody makes a patch
        payload = self._payload
        if path != _target(payload):
            raise Unreachable(f"{path} is wanted no more", fix="the latest settings follow")
        sha256 = hashlib.sha256(payload).hexdigest()
        return Offer(Label(path, len(payload), sha256, self._serial, NAME), path)

    def read(self, url: str, offset: int, length: int) -> bytes:
        if url != _target(self._payload):
            raise Unreachable(f"{url} is wanted no more", fix="the latest settings follow")
        return self._payload[offset : offset + length]


@dataclass(frozen=True)
class LoadedSettings:
    """Settings to run with, and the slot that they come from."""

    settings: EdgeSettings
    slot: Slot


class SettingsFile:
    """A configuration file, and what the slots lay over it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def alone(self) -> EdgeSettings:
        """As the file has it. Raises SettingsError."""
        return load_edge_settings(self._path)

    def under(self, values: Mapping[str, Value]) -> EdgeSettings:
        """With these values laid over it.

        Raises SettingsError for a key that can't be changed from afar, or a value that it can't
        have.
        """
        refused = [key for key in values if not is_changeable(key)]
        if refused:
            raise SettingsError(
                f"{', '.join(sorted(refused))} can't be changed from afar",
                fix=f"change {', '.join((*CHANGEABLE, *CHANGEABLE_OF_JOURNAL))}, or what is below",
            )
        self.alone()
        _, read = read_settings(self._path)
        base: dict[str, Any] = dict(read) if isinstance(read, dict) else {}
        for key, value in values.items():
            _set(base, key.split("."), value)
        checked = validate(base, settings_model(), f"{self._path.name} with what the cloud wants")
        return resolve_paths(checked, self._path.resolve().parent)

    def load(self, slots: FolderSlots) -> LoadedSettings:
        """Settings to start with; a trial has one try less when this returns.

        What can't be used is not tried again, and where nothing can be used the file stands alone.
        Raises SettingsError where not even that can be read.
        """
        slot = slots.booted()
        try:
            return LoadedSettings(self.under(read_values(slots, slot)), slot)
        except (SplitsightError, OSError) as error:
            log.warning("settings_unusable", slot=slot, error=str(error))
        record = slots.marked().record
        if record.trial is not None:
            slots.mark(record.returned())
            return self.load(slots)
        return LoadedSettings(self.alone(), slot)


class SettingsHost(RestartHost):
    """`Host` for settings: the box is opened anew, in the same process."""

    tries = 1

    def __init__(
        self, slots: FolderSlots, file: SettingsFile, running: Slot, restart: Callable[[], None]
    ) -> None:
        super().__init__(running, restart)
        self._slots = slots
        self._file = file

    def prove(self, slot: Slot, label: Label) -> None:
        del label  # its digest was checked
        self._file.under(read_values(self._slots, slot))


def is_changeable(key: str) -> bool:
    return key.partition(".")[0] in CHANGEABLE or key in CHANGEABLE_OF_JOURNAL


def read_values(slots: FolderSlots, slot: Slot) -> dict[str, Value]:
    """What a slot lays over the file; nothing where nothing was ever put there."""
    if slots.held(slot) is None:
        return {}
    try:
        values = json.loads(slots.disk.read(slots.payload(slot)))
    except (OSError, ValueError) as error:
        raise UpdateError(
            f"settings of slot {slot} are damaged ({error})", fix="send them again"
        ) from error
    if not isinstance(values, dict):
        raise UpdateError("settings are no mapping", fix="send them again")
    return values


def _set(tree: dict[str, Any], steps: list[str], value: Value) -> None:
    for step in steps[:-1]:
        below = tree.get(step)
        # A branch is copied, so that a failed attempt leaves nothing behind; a leaf gives way.
        tree[step] = dict(below) if isinstance(below, dict) else {}
        tree = tree[step]
    tree[steps[-1]] = value


def _target(payload: bytes) -> str:
    return f"settings/{hashlib.sha256(payload).hexdigest()[:16]}.json"
