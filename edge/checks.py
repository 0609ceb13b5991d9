"""What `splitsight doctor` says of this box."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from edge.actuator.base import ACTUATORS
from edge.actuator.mqtt import MqttActuatorSettings
from edge.benchmark import devices_of
from edge.camera.base import CAMERAS
from edge.configuration.settings import EdgeSettings
from edge.identity.folder import IdentityFolder
from edge.identity.settings import DeviceIdentitySettings
from edge.inspection.fields import FIELDS
from shared.calls import LimitedCalls
from shared.clock import Clock, SystemClock
from shared.commands.doctor import (
    ANSWER_S,
    DoctorRow,
    broker_rows,
    loaded_in_time,
    plugin_row,
    plugin_rows,
    row,
)
from shared.errors import IdentityError, TransportError, said
from shared.plugins.group import LoadedPlugin
from shared.runtime.base import RUNTIMES, RuntimeFactory
from shared.settings import read_settings, resolve_paths, validate
from shared.transport.mqtt import BrokerSettings, tls_context
from shared.transport.probe import BrokerProbe, probe, probe_tls

EXTRA_OF = {"torch": "train"}


def checks() -> list[DoctorRow]:
    """Rows {check, ok, found, wanted, fix}: each runtime with its devices, each plug-in."""
    return [
        *(_runtime(loaded) for loaded in loaded_in_time(RUNTIMES)),
        *plugin_rows(CAMERAS),
        *plugin_rows(ACTUATORS),
        *plugin_rows(FIELDS),
    ]


def config_checks(config: Path) -> list[DoctorRow]:
    """Rows for what a box's configuration names: its certificate, and the brokers that it needs.

    None for other configurations, nor for a broker that `doctor` itself looks at.
    """
    _, values = read_settings(config)
    if not isinstance(values, dict):
        return []
    folder, rows = config.resolve().parent, []
    if values.get("identity") is not None:
        identity = validate(values["identity"], DeviceIdentitySettings, f"{config.name}: identity")
        broker = validate(values.get("broker") or {}, BrokerSettings, f"{config.name}: broker")
        settings = resolve_paths(identity, folder)
        rows.append(_identity(settings, str(values.get("device", "")), SystemClock()))
        rows += _certified(resolve_paths(broker, folder), settings)
    told = values.get("actuator")
    if isinstance(told, dict) and told.get("kind") == "mqtt":
        actuator = validate(told, MqttActuatorSettings, f"{config.name}: actuator")
        rows += _ejector(resolve_paths(actuator, folder))
    return rows


def connection_checks(settings: EdgeSettings) -> list[DoctorRow]:
    """Rows for each broker that a box needs, tried once, with what is wrong and what to do."""
    broker, identity = settings.broker, settings.identity
    rows = (
        _certified(broker, identity)
        if identity is not None
        else broker_rows("broker", broker, lambda: probe(broker))
    )
    actuator = settings.actuator
    ejector = _ejector(actuator) if isinstance(actuator, MqttActuatorSettings) else []
    return [*rows, *ejector]


def _certified(broker: BrokerSettings, identity: DeviceIdentitySettings) -> list[DoctorRow]:
    """Of a box with an identity. Its session is left alone: the agent may be connected now."""

    def trying() -> BrokerProbe:
        context = tls_context(identity.tls.model_copy(update={"certificate": None}))
        try:
            held = IdentityFolder(identity.folder).credential()
            if held is not None:
                context.load_cert_chain(held.path)
        except (IdentityError, OSError) as error:
            raise TransportError(
                f"this box's certificate can't be used ({error})", fix="see `identity` above"
            ) from error
        return probe_tls(broker, context)

    return list(broker_rows("broker", broker, trying))


def _ejector(actuator: MqttActuatorSettings) -> list[DoctorRow]:
    return list(broker_rows("ejector", actuator.broker, lambda: probe(actuator.broker)))


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
        devices = LimitedCalls("doctor", ANSWER_S)(partial(devices_of, loaded.kind))
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        failed = replace(loaded, kind=None, error=said(error))
        return plugin_row("runtime", failed, "check the driver of its device")
    return plugin_row("runtime", loaded, found=", ".join(devices) or "loads")
