"""Addresses that may hold a secret: in user and password, path, query or fragment."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.redaction import DISTINCT, KNOWN, SECRET_NAME

_AUTHORITY = re.compile(r"[/?#]")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d{1,5})?")
_SHORT_NAMES = frozenset({"pass", "pw", "key"})
_SIGNS = re.compile(r"[@/?#:\s]")
_PAIRS = re.compile(r"[=&;_,]")


class SecretAddress:
    """A URL of which only scheme, host and port are ever shown.

    `str` and `repr` are fit for logs; `get_secret_value` alone gives what to connect to. What it
    hides is known as a secret from then on, so that library texts are scrubbed of it too.
    """

    starts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._shown = self._show(raw)
        for hidden in self._hidden(raw):
            KNOWN.add(hidden)

    def get_secret_value(self) -> str:
        """The address itself. Never log it."""
        return self._raw

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretAddress) and other._raw == self._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    @classmethod
    def _show(cls, raw: str) -> str:
        scheme, marked, authority, rest = _parts(raw)
        if not marked:
            return f"{scheme}:***" if scheme else "***"
        before, at, host = authority.rpartition("@")
        # A password with a slash in it ends the authority for whoever reads by the rules.
        if not at and "@" in rest:
            return f"{scheme}://***"
        if not _HOST.fullmatch(host):
            # What is no port is likely to be half of a password.
            host = f"{host.partition(':')[0]}:***"
        hidden = "***@" if before or at else ""
        return f"{scheme}://{hidden}{host}{cls._show_rest(rest)}"

    @classmethod
    def _show_rest(cls, rest: str) -> str:
        return "/***" if rest.strip("/") else rest

    @classmethod
    def _hidden(cls, raw: str) -> list[str]:
        return [*_credentials(raw), *_keys_below(raw)]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        written = core_schema.no_info_after_validator_function(cls._read, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=written,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), written], mode="left_to_right"
            ),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        known = "|".join(map(re.escape, cls.starts))
        return {**handler(core), "pattern": f"^({known})"}

    @classmethod
    def _read(cls, raw: str) -> Self:
        address = cls(raw)
        if not raw.startswith(cls.starts):
            scheme = raw.partition("://")[0] if "://" in raw else ""
            found = f"is {scheme}://…" if re.fullmatch(r"[a-z0-9+.-]{1,32}", scheme) else "has none"
            known = ", ".join(cls.starts)
            raise PydanticCustomError("address", f"its start {found}, known are {known}")
        return address


class CameraAddress(SecretAddress):
    """A network camera's: makers put passwords into its path and query too."""

    starts = ("rtsp://", "rtsps://")


class DatabaseAddress(SecretAddress):
    """A database's, of which its name or file is shown too."""

    starts = ("sqlite:///", "postgresql+psycopg://")

    @classmethod
    def _show(cls, raw: str) -> str:
        return raw if raw.startswith("sqlite:") and "@" not in raw else super()._show(raw)

    @classmethod
    def _hidden(cls, raw: str) -> list[str]:
        return [] if raw.startswith("sqlite:") else _credentials(raw)

    @classmethod
    def _show_rest(cls, rest: str) -> str:
        path, _, options = rest.partition("?")
        path, _, _ = path.partition("#")
        return f"{path}?***" if options else path


def _parts(raw: str) -> tuple[str, str, str, str]:
    """scheme, `://` or nothing, authority, and what follows it with its first sign."""
    scheme, marked, after = raw.partition("://")
    if not marked:
        return raw.partition(":")[0] if ":" in raw else "", "", "", raw
    found = _AUTHORITY.search(after)
    cut = found.start() if found else len(after)
    return scheme, marked, after[:cut], after[cut:]


def _credentials(raw: str) -> list[str]:
    """What libraries may quote of user and password, and of options that name one."""
    _, _, _, rest = _parts(raw)
    # Up to the last `@` of all: passwords hold slashes, and libraries cut at the first or last.
    before, at, _ = raw.partition("://")[2].rpartition("@")
    user, colon, password = before.partition(":")
    parts = [*_SIGNS.split(password), *_SIGNS.split(unquote(password))]
    hidden = [password, *parts] if colon else [one for one in [user] if _odd(one)]
    if at and colon:
        hidden.append(before)
    pairs = parse_qsl(rest.partition("?")[2].replace("#", "&"))
    named = [value for name, value in pairs if SECRET_NAME.search(name) or name in _SHORT_NAMES]
    return [*hidden, *named]


def _keys_below(raw: str) -> list[str]:
    """What looks like a key in the path, the rest with it, and the fragment."""
    _, _, _, rest = _parts(raw)
    path, _, query = rest.partition("?")
    segments = [one for one in re.split(r"[/#]", path) if _odd(one)]
    keys = [one for segment in segments for one in _PAIRS.split(segment) if _odd(one)]
    whole = rest[1:] if segments or query else ""
    return [*segments, *keys, rest.partition("#")[2], whole]


def _odd(segment: str) -> bool:
    """Whether it looks like a key: it names a value, or mixes letters and digits at length."""
    mixed = re.search(r"\d", segment) and re.search(r"[A-Za-z]", segment)
    return "=" in segment or bool(mixed and len(segment) >= DISTINCT)
