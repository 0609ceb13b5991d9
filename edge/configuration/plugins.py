"""Kinds of camera and actuator, found by entry points: a user's package adds its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from edge.actuator.base import ActuatorKind
from edge.camera.base import CameraKind

CAMERAS = "splitsight.cameras"
ACTUATORS = "splitsight.actuators"

K = TypeVar("K", CameraKind[Any], ActuatorKind[Any])


@dataclass(frozen=True, slots=True)
class LoadedKind(Generic[K]):
    """One entry point: its kind, or in words why it can't be used here."""

    name: str
    kind: K | None
    error: str = ""


def load_kinds(
    wanted: type[K], group: str, entries: Sequence[EntryPoint] | None = None
) -> list[LoadedKind[K]]:
    """Every kind of one group, by name; one that can't be loaded does not hide the others.

    entries   instead of those that are installed, for tests
    """
    found = entry_points(group=group) if entries is None else entries
    unique = {entry.name: entry for entry in found}
    return [_load(unique[name], wanted) for name in sorted(unique)]


def camera_kinds() -> list[LoadedKind[CameraKind[Any]]]:
    return load_kinds(CameraKind, CAMERAS)


def actuator_kinds() -> list[LoadedKind[ActuatorKind[Any]]]:
    return load_kinds(ActuatorKind, ACTUATORS)


def _load(entry: EntryPoint, wanted: type[K]) -> LoadedKind[K]:
    try:
        kind = entry.load()
    except ImportError as error:
        return LoadedKind(entry.name, None, f"{error}; install the package that it needs")
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
        return LoadedKind(entry.name, None, f"{type(error).__name__}: {error}")
    if not isinstance(kind, wanted):
        return LoadedKind(
            entry.name, None, f"{entry.value} is a {type(kind).__name__}, not a {wanted.__name__}"
        )
    return LoadedKind(entry.name, kind)
