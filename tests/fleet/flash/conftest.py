"""A small image, put together by the product from parts that are no real system."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet.flash.image import Kernel, assemble
from fleet.flash.manifest import (
    ImageManifest,
    bmap_path,
    load_or_make_key,
    load_public_key,
    manifest_path,
    write_manifest,
)
from fleet.flash.profiles import profile_named
from fleet.flash.tools import SEARCHED

SITE = """\
site: plant-a
line: line-1
device: box-1
bundle: /usr/share/splitsight/bundle
camera: {kind: rtsp, url: "rtsp://10.0.0.5/line"}
actuator: {kind: log}
"""


@dataclass(frozen=True, slots=True)
class Built:
    """An image with its manifest, and the keys that signed it."""

    path: Path
    manifest: ImageManifest
    key: Path

    @property
    def public_key(self) -> Path:
        return self.key.with_suffix(".pub")

    def copied(self, folder: Path) -> Built:
        """One that a test may spoil."""
        path = folder / self.path.name
        for source in (self.path, bmap_path(self.path), manifest_path(self.path)):
            copy_sparse(source, folder / source.name)
        return Built(path, self.manifest, self.key)


def require_tools(*names: str) -> None:
    """Skip where one is missing; in CI that is a failure."""
    missing = [name for name in names if shutil.which(name, path=SEARCHED) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}; `make system` installs them")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make system` installs them")


def copy_sparse(source: Path, target: Path) -> None:
    with source.open("rb") as stream, target.open("wb") as out:
        out.truncate(source.stat().st_size)
        while block := stream.read(1 << 20):
            if block.count(0) != len(block):
                out.seek(stream.tell() - len(block))
                out.write(block)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    require_tools("mkfs.vfat", "mkfs.ext4", "mcopy", "bmaptool", "sgdisk")
    folder = tmp_path_factory.mktemp("image")
    parts = folder / "parts"
    parts.mkdir()
    for name in ("vmlinuz", "initrd", "loader", "root"):
        (parts / name).write_bytes(name.encode() * 50_000)
    kernel = Kernel("6.1", parts / "vmlinuz", parts / "initrd", parts / "loader")
    out, key = folder / "disk.img", folder / "image.key"
    manifest = assemble(profile_named("x86-64"), out, kernel, parts / "root", parts)
    write_manifest(out, manifest, load_or_make_key(key))
    load_public_key(key.with_suffix(".pub"))
    return Built(out, manifest, key)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    return path
