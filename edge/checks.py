"""What `splitsight doctor` says of this box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import yaml

from edge.benchmark import devices_of
from edge.configuration.plugins import LoadedKind, actuator_kinds, camera_kinds
from edge.identity.folder import IdentityFolder
from edge.identity.settings import DeviceIdentitySettings
from shared.clock import Clock, SystemClock
from shared.commands.doctor import DoctorRow, row
from shared.errors import IdentityError
from shared.runtime.base import GROUP
from shared.settings import resolve_paths, validate

EXTRA_OF = {"torch": "train"}


def checks() -> list[DoctorRow]:
    """Rows {check, ok, found, wanted, fix}: each runtime with its devices, each plug-in."""
    runtimes = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [
        *(_runtime(entry) for entry in runtimes),
        *_kinds("camera", camera_kinds()),
        *_kinds("actuator", actuator_kinds()),
    ]


def config_checks(config: Path) -> list[DoctorRow]:
    """Rows for what a box's configuration names: its certificate. None for other configurations."""
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    section = values.get("identity") if isinstance(values, dict) else None
    if section is None:
        return []
    found = validate(section, DeviceIdentitySettings, f"{config.name}: identity")
    settings = resolve_paths(found, config.resolve().parent)
    return [_identity(settings, str(values.get("device", "")), SystemClock())]


def _identity(settings: DeviceIdentitySettings, device: str, clock: Clock) -> DoctorRow:
    what, wanted = "identity", "a certificate that is valid for 14 more days"
    claim = "run `splitsight fleet claim`, and write what it says into identity.claim"
    try:
        held = IdentityFolder(settings.folder).credential()
    except IdentityError as error:
        return row(what, ok=False, found=error.message, wanted=wanted, fix=error.fix)
    if held is None:
        return row(what, ok=False, found="no certificate yet", wanted=wanted, fix=claim)
    days = (held.not_after - clock.utc()) / 86400
    if held.device != device:
        found = f"the certificate is for {held.device}"
        return row(what, ok=False, found=found, wanted=f"one for {device}", fix=claim)
    found = f"the certificate of {device} is valid for {days:.0f} more days"
    fix = "check that the door can be reached: splitsight edge enrol" if days > 0 else claim
    return row(what, ok=days > 14, found=found, wanted=wanted, fix=fix)


def _runtime(entry: EntryPoint) -> DoctorRow:
    wanted = "a backend that can be loaded"
    try:
        devices = devices_of(entry.module)
    except ImportError as error:
        return row(
            f"runtime {entry.name}",
            ok=False,
            found=str(error),
            wanted=wanted,
            fix=f"pip install 'splitsight[{EXTRA_OF.get(entry.name, 'edge')}]', or use another",
        )
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        return row(
            f"runtime {entry.name}",
            ok=False,
            found=f"{type(error).__name__}: {error}",
            wanted=wanted,
            fix="check the driver of its device",
        )
    return row(f"runtime {entry.name}", ok=True, found=", ".join(devices) or "loads", wanted=wanted)


def _kinds(what: str, kinds: Sequence[LoadedKind[Any]]) -> Iterator[DoctorRow]:
    for loaded in kinds:
        yield row(
            f"{what} {loaded.name}",
            ok=loaded.kind is not None,
            found=loaded.error or "loads",
            wanted="a plug-in that can be loaded",
            fix="" if loaded.kind else "install what it needs, or remove the package",
        )
