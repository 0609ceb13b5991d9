"""What packages plug into one place, found by entry points: each is loaded alone and fails alone.

A plug-in is named by its entry point. It is an object of one class of ours (a kind of camera), or
whatever does what a protocol of ours says (a runtime).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from operator import or_
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, create_model

from shared.errors import SettingsError
from shared.settings import Settings

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class LoadedPlugin(Generic[K]):
    """One entry point: what it leads to, or in words why that can't be used here."""

    name: str
    kind: K | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PluginGroup(Generic[K]):
    """A group of entry points.

    name     of the group
    noun     of one of its plug-ins, for people
    wanted   the class whose object an entry point must lead to; None: anything that can be called
    makes    the protocol of what a plug-in opens, where it opens something
    tagged   each has `settings` of its own, or is a class of settings; they are told apart by
             `kind`, which is its entry point's name
    needs    the library without which nobody uses any of them: then the doctor says nothing of them
    """

    name: str
    noun: str
    wanted: type[K] | None = None
    makes: type[Any] | None = None
    tagged: bool = False
    needs: str = ""

    def names(self) -> list[str]:
        """Of everything that is installed, whether it can be loaded or not."""
        return sorted({entry.name for entry in entry_points(group=self.name)})

    def load_all(self, entries: Sequence[EntryPoint] | None = None) -> list[LoadedPlugin[K]]:
        """Every plug-in, by name; one that can't be loaded does not hide the others.

        entries   instead of those that are installed, for tests
        """
        found = entry_points(group=self.name) if entries is None else entries
        unique = {entry.name: entry for entry in found}
        return [self._load(unique[name]) for name in sorted(unique)]

    def load(self, name: str) -> LoadedPlugin[K]:
        """One plug-in; the others are not imported. Raises SettingsError where there is none."""
        found = list(entry_points(group=self.name, name=name))
        if not found:
            raise SettingsError(
                f"there is no {self.noun} {name!r}", fix=f"use one of {', '.join(self.names())}"
            )
        return self._load(found[-1])

    def of(self, settings: Settings) -> K:
        """The kind that these settings belong to."""
        for loaded in self.load_all():
            if loaded.kind is not None and type(settings) is _settings_of(loaded.kind):
                return loaded.kind
        raise SettingsError(
            f"no installed {self.noun} takes {type(settings).__name__}",
            fix="see `splitsight doctor`",
        )

    def opened(self, settings: Settings, *around: Any) -> Any:
        """What the kind of these settings opens.

        Raises SettingsError where that lacks something of the protocol.
        """
        kind: Any = self.of(settings)
        made = kind.open(settings, *around)
        lacking = lacks(made, self.makes)
        if lacking:
            raise SettingsError(
                f"the {self.noun} {type(made).__name__} lacks {', '.join(lacking)}",
                fix=f"add what the protocol {self.makes.__name__} asks for",  # type: ignore[union-attr]
            )
        return made

    def settings(self) -> Any:
        """The settings of every kind as one annotation, told apart by `kind`.

        A kind that can't be loaded says why, where a configuration names it.
        """
        models = [
            _settings_of(loaded.kind) if loaded.kind else _unusable(loaded)
            for loaded in self.load_all()
        ]
        if not models:
            raise SettingsError(
                f"no {self.noun} is installed", fix="install splitsight again: it brings some"
            )
        if len(models) == 1:
            return models[0]
        # The members are known only at run time, so the union can't be written as an annotation.
        return Annotated[reduce(or_, models), Field(discriminator="kind")]

    def _load(self, entry: EntryPoint) -> LoadedPlugin[K]:
        try:
            kind = entry.load()
            error = self._unfit(entry, kind)
        except ImportError as failure:
            error = f"{failure}; install the package that it needs"
        except Exception as failure:  # noqa: BLE001 - a stranger's module may raise anything
            error = f"{type(failure).__name__}: {failure}"
        return LoadedPlugin(entry.name, None if error else kind, error)

    def _unfit(self, entry: EntryPoint, kind: Any) -> str:
        """Why what an entry point leads to can't be used; empty where it can."""
        if self.wanted is not None and not isinstance(kind, self.wanted):
            return f"{entry.value} is a {type(kind).__name__}, not a {self.wanted.__name__}"
        if self.wanted is None and not callable(kind):
            return f"{entry.value} is a {type(kind).__name__}, which can't be called"
        if self.tagged:
            field = _settings_of(kind).model_fields.get("kind")
            if field is None or get_args(field.annotation) != (entry.name,):
                return (
                    f"{_settings_of(kind).__name__} must have a field "
                    f'`kind: Literal["{entry.name}"]`, as its entry point is named'
                )
        made = _class_made_by(kind if self.wanted is None else getattr(kind, "open", None))
        lacking = lacks(made, self.makes) if made else []
        return f"{made.__name__} lacks {', '.join(lacking)}" if made and lacking else ""


def lacks(what: Any, protocol: type[Any] | None) -> list[str]:
    """What a protocol names and a class or an object has not. Of a class only methods count: the
    rest may come with its objects."""
    if protocol is None:
        return []
    members = {name for name, member in vars(protocol).items() if callable(member)}
    if not isinstance(what, type):
        members |= set(vars(protocol)) | set(protocol.__annotations__)
    lacking = {m for m in members if not m.startswith("_") and not hasattr(what, m)}
    return sorted(lacking | getattr(what, "__abstractmethods__", frozenset()))


def _class_made_by(opening: Any) -> type[Any] | None:
    """The class whose objects a callable gives, where it says so."""
    if isinstance(opening, type):
        return opening
    try:
        made = get_type_hints(opening).get("return")
    except (NameError, TypeError):
        return None
    concrete = isinstance(made, type) and made is not Any
    concrete = concrete and not getattr(made, "_is_protocol", False)
    return made if concrete else None


def _settings_of(kind: Any) -> type[Settings]:
    found: type[Settings] = kind if isinstance(kind, type) else kind.settings
    return found


def _unusable(loaded: LoadedPlugin[Any]) -> type[Settings]:
    """Settings of a kind that can't be loaded: any, all refused with the reason."""

    def refuse(name: str) -> str:
        raise ValueError(f"{name} can't be used here: {loaded.error}")

    tag: Any = Annotated[Literal[loaded.name], AfterValidator(refuse)]
    return create_model(f"Unusable_{loaded.name}", __base__=_AnySettings, kind=(tag, ...))


class _AnySettings(Settings):
    model_config = ConfigDict(extra="ignore")
