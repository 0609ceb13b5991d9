"""A copy of this machine's files in which every change is seen: an overlay, in a mount namespace.

Only within `unshare --mount`, as root: the mounts go when the namespace does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HOME = "/home/fresh"
RESOLVER = Path("etc/resolv.conf")
SEEN_AS_THEY_ARE = ("/proc", "/dev", "/sys")


class SealedMachine:
    """Programs run in it as on the day of its installation: no home, no CI, one name server.

    mount      an empty folder to build it in
    resolver   the address that names are looked up at
    """

    def __init__(self, mount: Path, resolver: str) -> None:
        run("mount", "-t", "tmpfs", "tmpfs", str(mount))
        self._changes, self._root = mount / "changes", mount / "root"
        for folder in (self._changes / "etc", mount / "work", self._root):
            folder.mkdir(parents=True)
        # Written before the overlay is made: afterwards the kernel may keep what was there.
        (self._changes / RESOLVER).write_text(f"nameserver {resolver}\n")
        layers = f"lowerdir=/,upperdir={self._changes},workdir={mount / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, str(self._root))
        for path in (*SEEN_AS_THEY_ARE, *self._elsewhere()):
            run("mount", "--rbind", path, f"{self._root}{path}")
        (self._root / HOME[1:]).mkdir(parents=True)

    def command(self, *arguments: str, folder: Path) -> list[str]:
        """A command line that runs in it, in this working directory."""
        environment = [
            *(f"HOME={HOME}", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            # The modules of this installation are where they are, and stay as they are.
            *(f"PYTHONPATH={Path(__file__).parents[2]}", "PYTHONDONTWRITEBYTECODE=1"),
        ]
        enter = ["/usr/sbin/chroot", str(self._root), "env", "-i", "-C", str(folder)]
        return [*enter, *environment, *arguments]

    def changed(self, allowed: Path) -> list[str]:
        """What was made or changed in it, outside of a folder: files, and new folders."""
        found = []
        for path in sorted(self._changes.rglob("*")):
            inside = Path("/", path.relative_to(self._changes))
            new = not path.is_dir() or not inside.exists()
            own = inside.is_relative_to(allowed) or inside in {Path("/", RESOLVER), Path(HOME)}
            if new and not own:
                found.append(str(inside))
        return found

    def seen(self, path: Path) -> Path:
        """Where something that lies in it can be read from outside, while it is there."""
        return self._root / path.relative_to("/")

    def _elsewhere(self) -> list[str]:
        """This installation, where it lies on another file system than the root's."""
        used = (str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix)
        return [path for path in used if not any(Path(f"{self._root}{path}").glob("*"))]


def run(*command: str | Sequence[str]) -> None:
    subprocess.run(command, check=True, timeout=30)  # type: ignore[arg-type]
