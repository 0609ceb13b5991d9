"""A plug-in that can't be used is refused alone, with the reason in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, Literal, Protocol, TypeVar

import pytest
from pydantic import create_model

from shared.errors import SettingsError
from shared.plugins.group import PluginGroup, lacks
from shared.runtime.base import RUNTIMES, RuntimeOptions
from shared.settings import Settings, validate

S = TypeVar("S", bound=Settings)


class Bell(Protocol):
    name: str

    @property
    def pitch(self) -> float: ...

    def ring(self) -> str: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class BellKind(Generic[S]):
    settings: type[S]
    open: Callable[[S], Bell]


class HandSettings(Settings):
    kind: Literal["hand"] = "hand"
    weight: int = 1


class HandBell:
    def __init__(self, settings: HandSettings) -> None:
        self.name = f"hand {settings.weight}"
        self.pitch = 440.0

    def ring(self) -> str:
        return self.name

    def stop(self) -> None: ...


class SilentSettings(Settings):
    kind: Literal["silent"] = "silent"


class SilentBell:
    def __init__(self, settings: SilentSettings) -> None:
        self.name = settings.kind
        self.pitch = 0.0

    def stop(self) -> None: ...


def open_silent(settings: SilentSettings) -> SilentBell:
    return SilentBell(settings)


def open_something(settings: SilentSettings) -> Any:
    return SilentBell(settings)


class AnotherSettings(HandSettings):
    kind: Literal["another"] = "another"  # type: ignore[assignment]


HAND = BellKind(HandSettings, HandBell)
ANOTHER = BellKind(AnotherSettings, HandBell)
SILENT = BellKind(SilentSettings, SilentBell)  # type: ignore[arg-type]
OPENED_SILENT = BellKind(SilentSettings, open_silent)  # type: ignore[arg-type]
UNKNOWN = BellKind(SilentSettings, open_something)

GROUP: PluginGroup[BellKind[Any]] = PluginGroup("bells", "bell", BellKind, Bell, tagged=True)


class Bells(PluginGroup[BellKind[Any]]):
    """A group whose entry points are these, and not those that are installed."""

    def load_all(self, entries: Any = None) -> Any:
        return PluginGroup.load_all(self, entries or INSTALLED)


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}", GROUP.name)


INSTALLED = [entry("hand", "HAND"), entry("broken", "NOWHERE"), entry("silent", "UNKNOWN")]
BELLS = Bells("bells", "bell", BellKind, Bell, tagged=True)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (EntryPoint("hand", "no_such_module:HAND", "bells"), "No module named 'no_such_module'"),
        (entry("hand", "NOWHERE"), "has no attribute 'NOWHERE'"),
        (entry("hand", "GROUP"), "is a PluginGroup, not a BellKind"),
        (entry("silent", "SILENT"), "SilentBell lacks ring"),
        (entry("silent", "OPENED_SILENT"), "SilentBell lacks ring"),
        (entry("glass", "HAND"), 'HandSettings must have a field `kind: Literal["glass"]`'),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_and_hides_no_other(
    found: EntryPoint, said: str
) -> None:
    told = {one.name: one for one in GROUP.load_all([found, entry("another", "ANOTHER")])}
    assert told[found.name].kind is None
    assert said in told[found.name].error
    assert told["another"].kind is ANOTHER


def test_a_configuration_that_names_a_broken_plug_in_reads_why() -> None:
    model: Any = create_model("Tower", __base__=Settings, bell=(BELLS.settings(), ...))
    tower = validate({"bell": {"kind": "hand", "weight": 3}}, model, "tower.yaml")
    assert BELLS.opened(tower.bell).ring() == "hand 3"
    with pytest.raises(SettingsError, match=r"bell.*kind: broken can't be used here: .*NOWHERE"):
        validate({"bell": {"kind": "broken", "rope": 4}}, model, "tower.yaml")
    with pytest.raises(SettingsError, match='"hend" is not one of broken, hand, silent'):
        validate({"bell": {"kind": "hend"}}, model, "tower.yaml")


def test_what_a_plug_in_opens_is_looked_at_where_its_type_was_not_told() -> None:
    with pytest.raises(SettingsError, match="the bell SilentBell lacks ring"):
        BELLS.opened(SilentSettings())


def test_of_an_object_attributes_count_and_of_a_class_only_methods() -> None:
    nameless = HandBell(HandSettings())
    del nameless.name, nameless.pitch
    assert lacks(nameless, Bell) == ["name", "pitch"]
    assert lacks(HandBell, Bell) == []
    assert lacks(SilentBell, Bell) == ["ring"]


def test_a_runtime_without_its_method_is_refused_before_it_is_used() -> None:
    group = RUNTIMES.name
    runtime = EntryPoint("mute", f"{__name__}:MuteRuntime", group)
    value = EntryPoint("value", f"{__name__}:GROUP", group)
    told = {one.name: one.error for one in RUNTIMES.load_all([runtime, value])}
    assert told["mute"] == "MuteRuntime lacks run"
    assert "a PluginGroup, which can't be called" in told["value"]


class MuteRuntime:
    name = "mute"
    device = "CPU"

    def __init__(self, model: bytes, options: RuntimeOptions) -> None: ...
