"""What is added to Debian: the agent, its packages, its services."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fleet.flash.application import SITE_PACKAGES
from fleet.flash.debian import FILES

BUNDLE_PLACE = "usr/share/splitsight/bundle"
VERSION_PLACE = "usr/share/splitsight/image.json"
TIME_PLACE = "etc/systemd/timesyncd.conf.d/splitsight.conf"
LINKS = {
    "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
    "etc/systemd/system/multi-user.target.wants/splitsight.service": "../splitsight.service",
}


class TreeWriter:
    """Adds members to a tar in a fixed order, all of them root's and without times."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "a", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - see close
        self._folders = {PurePosixPath(m.name) for m in self._tar.getmembers() if m.isdir()}

    def close(self) -> None:
        self._tar.close()

    def folder(self, place: PurePosixPath) -> None:
        """With those above it; once."""
        if place in self._folders or place == PurePosixPath():
            return
        self.folder(place.parent)
        self._folders.add(place)
        member = self._member(place, 0o755)
        member.type = tarfile.DIRTYPE
        self._tar.addfile(member)

    def file(self, place: PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        self.folder(place.parent)
        member = self._member(place, mode)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))

    def link(self, place: PurePosixPath, target: str) -> None:
        self.folder(place.parent)
        member = self._member(place, 0o777)
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(member)

    def tree(self, source: Path, place: PurePosixPath) -> None:
        """Every file below a folder of this machine."""
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            self.file(place / path.relative_to(source).as_posix(), path.read_bytes(), mode)

    def _member(self, place: PurePosixPath, mode: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(f"./{place}")
        member.mode = mode
        return member


def write_tree(
    path: Path,
    packages: Iterable[Path],
    *,
    version: bytes,
    bundle: Path | None,
    time_servers: Iterable[str] = (),
) -> None:
    """Add the agent to a tar of Debian.

    packages       folders of Python packages; version: what the image says of itself
    bundle         the model that a device starts with, a folder or a zip
    time_servers   asked beside those that DHCP names; Debian's own pool never is
    """
    tree = TreeWriter(path)
    try:
        tree.tree(FILES / "root", PurePosixPath())
        for folder in packages:
            tree.tree(folder, PurePosixPath(SITE_PACKAGES))
        for place, target in LINKS.items():
            tree.link(PurePosixPath(place), target)
        tree.folder(PurePosixPath("data"))
        tree.file(PurePosixPath(VERSION_PLACE), version)
        time = f"[Time]\nNTP={' '.join(time_servers)}\nFallbackNTP=\n"
        tree.file(PurePosixPath(TIME_PLACE), time.encode())
        if bundle is not None and bundle.is_dir():
            tree.tree(bundle, PurePosixPath(BUNDLE_PLACE))
        elif bundle is not None:
            tree.file(PurePosixPath(BUNDLE_PLACE + ".zip"), bundle.read_bytes())
    finally:
        tree.close()
