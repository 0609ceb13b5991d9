"""What `splitsight doctor` says of this box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge.actuator.base import ACTUATORS
from edge.benchmark import devices_of
from edge.camera.base import CAMERAS
from edge.identity.folder import IdentityFolder
from edge.identity.settings import DeviceIdentitySettings
from edge.inspection.fields import FIELDS
from shared.clock import Clock, SystemClock
from shared.commands.doctor import DoctorRow, plugin_row, plugin_rows, row
from shared.errors import IdentityError
from shared.plugins.group import LoadedPlugin
from shared.runtime.base import RUNTIMES, RuntimeFactory
from shared.settings import read_settings, resolve_paths, validate

EXTRA_OF = {"torch": "train"}


def checks() -> list[DoctorRow]:
    """Rows {check, ok, found, wanted, fix}: each runtime with its devices, each plug-in."""
    return [
        *(_runtime(loaded) for loaded in RUNTIMES.load_all()),
        *plugin_rows(CAMERAS),
        *plugin_rows(ACTUATORS),
        *plugin_rows(FIELDS),
    ]


def config_checks(config: Path) -> list[DoctorRow]:
    """Rows for what a box's configuration names: its certificate. None for other configurations."""
    _, values = read_settings(config)
    section = values.get("identity") if isinstance(values, dict) else None
    if section is None or not isinstance(values, dict):
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
    fix = "check that the gateway can be reached: splitsight edge enrol" if days > 0 else claim
    return row(what, ok=days > 14, found=found, wanted=wanted, fix=fix)


def _runtime(loaded: LoadedPlugin[RuntimeFactory]) -> DoctorRow:
    if loaded.kind is None:
        extra = EXTRA_OF.get(loaded.name, "edge")
        return plugin_row("runtime", loaded, f"pip install 'splitsight[{extra}]', or use another")
    try:
        devices = devices_of(loaded.kind)
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        failed = replace(loaded, kind=None, error=f"{type(error).__name__}: {error}")
        return plugin_row("runtime", failed, "check the driver of its device")
    return plugin_row("runtime", loaded, found=", ".join(devices) or "loads")
