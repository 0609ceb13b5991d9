"""YAML configuration with errors that name file, line and the nearest key, all at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from shared.errors import SettingsError
from shared.log import get_logger
from shared.opener import Unopenable, read_yaml
from shared.redaction import KNOWN, SECRET_NAME, redact

log = get_logger("settings")

S = TypeVar("S", bound="Settings")
Loc = tuple[int | str, ...]
# One text where a section belongs is often a section that lacks its line breaks.
_UNSHOWN = frozenset({"model_type", "dict_type", "model_attributes_type", "address"})
# What the parser quotes of a file may be a secret: `password: *star`, `password: !bang`.
_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")


class Settings(BaseModel):
    """The base of every configuration: unknown keys are errors, values don't change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True
    )
    renamed: ClassVar[Mapping[str, str]] = {}
    """Dotted keys of the release before → what they are called now; read for one release more."""

    @model_validator(mode="before")
    @classmethod
    def _in_current_words(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        for old, new in cls.renamed.items():
            if (value := _at(values, old)) is None:
                continue
            if _at(values, new) is not None:
                raise ValueError(f"{old} is {new} by its old name: keep {new}")
            log.warning("setting_renamed", old=old, new=new, old_works="in this release only")
            values = _put(_put(values, old, None), new, value)
        return values

    @model_validator(mode="after")
    def _secrets_known(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                KNOWN.add(value.get_secret_value())
        return self


def _at(values: object, key: str) -> object:
    """What lies at a dotted key; None where nothing does."""
    for step in key.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _put(values: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """A copy with this value at a dotted key; without that key for None."""
    step, _, rest = key.partition(".")
    below = values.get(step)
    if rest:
        value = _put(below if isinstance(below, Mapping) else {}, rest, value)
    kept = {name: old for name, old in values.items() if name != step}
    return kept if value is None else {**kept, step: value}


def load_settings(path: Path, kind: type[S]) -> S:
    """Read a YAML file as settings of one kind.

    Raises SettingsError that lists every mistake with file and line.
    """
    node, values = read_settings(path)
    return validate(values if values is not None else {}, kind, path.name, node)


def read_settings(path: Path) -> tuple[yaml.Node | None, object]:
    """A YAML file as nodes and as plain values. Raises SettingsError, which quotes none of it."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} can't be read (byte {error.start} is not UTF-8)", fix="save it as UTF-8"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path} can't be read ({error})", fix="check the path") from error
    try:
        return read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = _QUOTED.sub("what is there", str(error.problem))
        # Not `from error`: its text holds the lines around the mistake, a password among them.
        raise SettingsError(
            f"{path.name}:{line}: not YAML: {reason}", fix="check indentation and quotes"
        ) from None
    except Unopenable as error:
        raise SettingsError(f"{path.name}: {error}", fix="write it in fewer words") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = _QUOTED.sub("what is there", str(error).splitlines()[0])
        raise SettingsError(f"{path.name}: not YAML: {reason}", fix="quote such values") from None


def validate(values: object, kind: type[S], name: str, node: yaml.Node | None = None) -> S:
    """Check plain values; `name` and `node` say where they were written."""
    if not isinstance(values, Mapping):
        what = "a list" if isinstance(values, list) else "one value"
        raise SettingsError(f"{name} holds {what}", fix="it must be a mapping of keys")
    _enter_secrets(values)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_explain(detail, kind, name, node) for detail in error.errors()]
        count = len(problems)
        head = "1 mistake" if count == 1 else f"{count} mistakes"
        raise SettingsError(
            f"{head} in {name}\n" + "\n".join(f"  {problem}" for problem in problems)
        ) from error


def _enter_secrets(values: object, *, secret: bool = False) -> None:
    """Known before anything is checked: what is wrong is told with what was found."""
    match values:
        case Mapping():
            for key, value in values.items():
                _enter_secrets(value, secret=secret or bool(SECRET_NAME.search(str(key))))
        case list():
            for value in values:
                _enter_secrets(value, secret=secret)
        case str() | int() | float() if secret and not isinstance(values, bool):
            KNOWN.add(str(values))
        case _:
            pass


def resolve_paths(settings: S, folder: Path) -> S:
    """A copy in which relative paths, at any depth, start from `folder`."""
    changed: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Path):
            changed[name] = folder / value
        elif isinstance(value, Settings):
            changed[name] = resolve_paths(value, folder)
        elif isinstance(value, tuple):
            changed[name] = tuple(
                resolve_paths(one, folder) if isinstance(one, Settings) else one for one in value
            )
    return settings.model_copy(update=changed)


def _explain(detail: ErrorDetails, kind: type[BaseModel], name: str, node: yaml.Node | None) -> str:
    loc, line = _place(_loc_of(detail), node)
    where = f"{name}:{line}" if line else name
    key = ".".join(str(step) for step in loc)
    match detail["type"]:
        case "extra_forbidden":
            known = sorted(_fields_at(kind, detail["loc"][:-1]))
            near = difflib.get_close_matches(str(loc[-1]), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            return f"{where}: {key} is not a setting ({hint})"
        case "union_tag_invalid":
            context = detail["ctx"]
            known = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
            tag = str(context["tag"])
            near = difflib.get_close_matches(tag, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            return f'{where}: {key}: "{tag}" is not one of {", ".join(known)}{hint}'
        case "union_tag_not_found":
            return f"{where}: {key}.kind is missing"
        case "missing":
            return f"{where}: {key} is missing"
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            given = detail["input"]
            plain = isinstance(given, str | int | float | bool) and not SECRET_NAME.search(key)
            plain = plain and detail["type"] not in _UNSHOWN
            shown = redact(f" (found {given!r})") if plain else ""
            return f"{where}: {key}: {message[:1].lower()}{message[1:]}{shown}"


def _loc_of(detail: ErrorDetails) -> Loc:
    return (*detail["loc"], "kind") if detail["type"] == "union_tag_invalid" else detail["loc"]


def _place(loc: Loc, node: yaml.Node | None) -> tuple[Loc, int | None]:
    """The path as the user wrote it, without union tags, and the line of its last step."""
    if node is None:
        return loc, None
    line = node.start_mark.line + 1
    written: list[int | str] = []
    for position, step in enumerate(loc):
        found = _child(node, step)
        if found is None:
            if position == len(loc) - 1:
                written.append(step)
            continue
        key, node = found
        line = (key or node).start_mark.line + 1
        written.append(step)
    return tuple(written), line


def _child(node: yaml.Node, step: int | str) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def _fields_at(kind: type[BaseModel], loc: Loc) -> set[str]:
    """The keys that the model at a path knows; several where a union is undecided."""
    models: list[type[BaseModel]] = [kind]
    for step in loc:
        following = [
            model
            for current in models
            if step in current.model_fields
            for model in _models_in(current.model_fields[str(step)].annotation)
        ]
        if following:
            models = following
        else:
            # A union's tag: keep the model whose `kind` it is.
            tagged = [m for m in models if _tag(m) == step]
            models = tagged or models
    return {name for model in models for name in model.model_fields}


def _tag(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return field.default if field else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    if origin in {Union, UnionType, Annotated, list, tuple, dict}:
        return [model for argument in get_args(annotation) for model in _models_in(argument)]
    return []
