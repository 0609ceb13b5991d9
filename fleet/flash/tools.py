"""Debian's own tools, run with an answer for the case that one is missing or fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.errors import ImageError
from shared.log import get_logger

log = get_logger("image")

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
    "mkfs.vfat": "dosfstools",
    "mkfs.ext4": "e2fsprogs",
    "mcopy": "mtools",
    "mmd": "mtools",
    "bmaptool": "bmap-tools",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "apt-get": "apt",
    "lsblk": "util-linux",
}
# Tools for disks lie where only root's PATH leads.
SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
TAIL = 12


def find_tool(name: str) -> str:
    """Where a tool is. Raises ImageError that names its package."""
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        package = PACKAGES.get(name, name)
        raise ImageError(
            f"{name} is not installed", fix=f"apt-get install {package}, or `make image-tools`"
        )
    return found


def run_tool(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    feed: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run to its end; what it printed.

    feed   a file as its standard input
    env    what is set beyond our own environment
    Raises ImageError with its last words where it fails or takes too long.
    """
    name = Path(command[0]).name
    first = str(command[0])
    full = [first if os.sep in first else find_tool(first), *map(str, command[1:])]
    with (feed or Path(os.devnull)).open("rb") as stdin:
        try:
            done = subprocess.run(
                full,
                stdin=stdin,
                capture_output=True,
                check=False,
                timeout=timeout_s,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise ImageError(
                f"{name} took longer than {timeout_s:.0f} s",
                fix="see what keeps it busy",
            ) from error
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        words = (done.stderr.decode(errors="replace") or said).strip().splitlines()[-TAIL:]
        raise ImageError(
            f"{name} ended with {done.returncode}:\n  " + "\n  ".join(words),
            fix="see its last words above",
        )
    log.debug("tool_ran", tool=name)
    return said
