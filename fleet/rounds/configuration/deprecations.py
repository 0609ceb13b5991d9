"""What the last release wanted in `rounds.yaml`, understood for one more, with a line in the log.

To be deleted with the next release.
"""

from __future__ import annotations

from typing import Any

from shared.log import get_logger

log = get_logger("rounds")

_PARAMETERS = {
    "proximal": ("fedprox", "mu"),
    "adam_rate": ("fedadam", "eta"),
    "adam_floor": ("fedadam", "tau"),
    "poisoned": ("krum", "malicious"),
}
_PRIVACY = {"secure": "secure_aggregation", "require_secure": "require_secure_aggregation"}


def strategy_section(values: Any, strategy: str) -> Any:
    """A file's values with `strategy:` in place of a name from the command line and keys beside it.

    strategy   empty where none was named
    """
    if not isinstance(values, dict):
        return values
    section = values.get("strategy")
    written = isinstance(section, dict) and section.get("kind") == strategy
    old = {name: values[name] for name in _PARAMETERS if section is None and name in values}
    if old or (strategy and not written):
        kind = strategy or "fedavg"
        section = {"kind": kind}
        for name, value in old.items():
            owner, parameter = _PARAMETERS[name]
            if owner == kind:
                section[parameter] = value
        _warn([*(["--strategy"] if strategy else []), *old], f"strategy: {section}")
        values = {name: value for name, value in values.items() if name not in old}
        values["strategy"] = section
    return values


def privacy_names(values: Any) -> Any:
    """`privacy:` with the names of today."""
    old = [name for name in _PRIVACY if isinstance(values, dict) and name in values]
    if old:
        _warn(
            [f"privacy.{name}" for name in old],
            ", ".join(f"privacy.{_PRIVACY[name]}" for name in old),
        )
        values = {_PRIVACY.get(name, name): value for name, value in values.items()}
    return values


def _warn(found: list[str], write: str) -> None:
    log.warning("old_spelling", found=", ".join(found), write=write, until="the next release")
