"""Which disks of this machine could be flashed, and why each of the others must not be."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fleet.flash.tools import run_tool
from shared.errors import DeviceRefused, ImageError

COLUMNS = "NAME,PATH,SIZE,MODEL,TRAN,RM,RO,TYPE,MOUNTPOINTS"
LARGEST = 512 * 10**9
SYSTEM = frozenset({"/", "/boot", "/boot/efi", "/usr", "/var", "/home", "[SWAP]"})
LSBLK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class DiskCandidate:
    """A disk. size: bytes; refused: why it must not be written, empty where it may be."""

    path: str
    size: int
    model: str
    refused: str
    forceable: bool = False


def list_candidates(needed: int, listed: str | None = None) -> list[DiskCandidate]:
    """Every disk of this machine.

    needed  bytes of the image
    listed  what lsblk printed, instead of asking it
    """
    said = listed or run_tool(["lsblk", "-J", "-b", "-o", COLUMNS], timeout_s=LSBLK_TIMEOUT_S)
    try:
        rows = msgspec.json.decode(said)["blockdevices"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ImageError(f"lsblk answered what is no list ({error})", fix="update it") from error
    return [_judged(row, needed) for row in rows if row.get("type") == "disk" and row.get("size")]


def require_flashable(
    path: Path, needed: int, candidates: Sequence[DiskCandidate], *, force: bool
) -> None:
    """Raises DeviceRefused where `path` must not be written; `force` takes a very large one."""
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise DeviceRefused(f"{path} is not there ({error.strerror})", fix=_CHOOSE) from error
    if stat.S_ISREG(kind):
        if path.stat().st_size < needed:
            raise DeviceRefused(
                f"{path} has {path.stat().st_size / 1e9:.2f} GB, the image needs "
                f"{needed / 1e9:.2f} GB",
                fix=f"truncate --size {needed} {path}, or remove it: it is made as needed",
            )
        return
    if not stat.S_ISBLK(kind):
        raise DeviceRefused(f"{path} is neither a disk nor a file", fix=_CHOOSE)
    real = os.path.realpath(path)
    for candidate in candidates:
        if candidate.path == real:
            if candidate.refused and not (force and candidate.forceable):
                raise DeviceRefused(f"{path} {candidate.refused}", fix=_CHOOSE)
            return
    raise DeviceRefused(f"{path} is a part of a disk, not a whole one", fix=_CHOOSE)


def _judged(row: Mapping[str, Any], needed: int) -> DiskCandidate:
    size, model = int(row["size"]), str(row.get("model") or "").strip()
    refused, forceable = _refusal(row, size, needed)
    return DiskCandidate(str(row["path"]), size, model, refused, forceable)


def _refusal(row: Mapping[str, Any], size: int, needed: int) -> tuple[str, bool]:
    mounted = set(_mountpoints(row))
    if mounted & SYSTEM:
        return "is this machine's own disk", False
    if mounted:
        return f"is mounted at {min(mounted)}", False
    if row.get("ro"):
        return "is read-only", False
    if size < needed:
        return f"is too small: {size / 1e9:.2f} GB of {needed / 1e9:.2f} GB", False
    if size > LARGEST:
        return f"is very large ({size / 1e12:.1f} TB); --force takes it all the same", True
    return "", False


def _mountpoints(row: Mapping[str, Any]) -> list[str]:
    own = [point for point in row.get("mountpoints") or [] if point]
    return own + [point for child in row.get("children") or [] for point in _mountpoints(child)]


_CHOOSE = "`splitsight fleet flash --image FILE` lists the disks that can be written"
