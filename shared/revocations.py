"""The file of revoked certificates: written by the fleet, read by brokers.

It is an X.509 revocation list in PEM, which may hold text around its block. A broker looks at the
list when a device connects. The names in front, one `denied: NAME` a line, are those whose open
connections must end too. One file, so that both always belong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from shared.topics import NAME

_DENIED = "denied: "


def render(crl_pem: bytes, denied: Iterable[str]) -> bytes:
    """The file's content."""
    lines = [f"{_DENIED}{name}\n" for name in sorted(set(denied))]
    return "".join(lines).encode() + crl_pem


def denied_names(path: Path) -> tuple[str, ...]:
    """Devices that may neither send nor hear anything. Raises OSError."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    names = (line.removeprefix(_DENIED) for line in lines if line.startswith(_DENIED))
    return tuple(name for name in names if NAME.fullmatch(name))
