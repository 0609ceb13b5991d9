"""The files of one site that go into a card's boot partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import yaml

from shared.errors import SettingsError
from shared.log import get_logger

log = get_logger("flash")

GROUP = "splitsight.configs"
NAME = "site.yaml"
CLAIM = "claim"
MAX_BYTES = 4 << 20
HOME = "/data/splitsight/config"
"""Where the device has these files; paths in the configuration start from there."""


def site_files(site: Path, claim: str | None, others: Sequence[Path]) -> dict[str, bytes]:
    """By name. Raises SettingsError that names file and line of every mistake.

    claim   a token for the device's first enrolment
    others  files that the configuration names: a CA's certificate, a root of trust
    """
    check_site(site)
    files = {NAME: _read(site)}
    for path in others:
        if path.name in {NAME, CLAIM} or path.name in files:
            raise SettingsError(f"two files are called {path.name}", fix="rename one")
        files[path.name] = _read(path)
    if claim is not None:
        files[CLAIM] = claim.strip().encode() + b"\n"
    for name, line in named_files(files[NAME]):
        if "/" not in name and name not in files:
            what = f"`--claim TOKEN` writes {CLAIM}; " if name == CLAIM else ""
            raise SettingsError(
                f"{site.name}:{line}: {name} would not be on the device",
                fix=f"{what}`--with FILE` puts a file beside {site.name}",
            )
    if claim is not None and CLAIM not in dict(named_files(files[NAME])):
        raise SettingsError(
            f"{site.name} does not say where the claim is",
            fix=f"add `claim_file: {CLAIM}` to its `identity`",
        )
    return files


def check_site(site: Path) -> None:
    """As the agent itself reads it, where the agent is installed here too."""
    loader = _loader()
    if loader is None:
        log.warning("site_not_checked", reason="the extra `edge` is not installed here")
        _read(site)
        return
    loader(site)


def named_files(raw: bytes) -> list[tuple[str, int]]:
    """Values of `ca`, `root`, `certificate`, `key` and `..._file`, each with its line."""
    node = yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    return list(_named(node)) if node is not None else []


def _named(node: yaml.Node) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            is_file = key.value in {"ca", "root"} or str(key.value).endswith("_file")
            if isinstance(value, yaml.ScalarNode) and is_file:
                found.append((value.value, value.start_mark.line + 1))
            found += _named(value)
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _named(value)
    return found


def _loader() -> Callable[[Path], object] | None:
    for entry in entry_points(group=GROUP, name="edge"):
        try:
            loader: Callable[[Path], object] = entry.load()
        except ImportError:
            return None
        return loader
    return None


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read ({error.strerror})", fix="check the path"
        ) from error
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} has {len(content)} B", fix=f"at most {MAX_BYTES} B fit")
    return content
