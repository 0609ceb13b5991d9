"""Builds a bootable disk image without root mounts or loop devices."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.flash.application import (
    build_wheel,
    compile_python,
    install_requirements,
    install_wheel,
    source_folder,
)
from fleet.flash.bmap import create_bmap
from fleet.flash.card import copy_data
from fleet.flash.debian import RELEASE, build_base
from fleet.flash.gpt import Table, head, tail
from fleet.flash.layout import plan, slot_bytes
from fleet.flash.manifest import ImageManifest, ImagePiece, bmap_path, sha256_of, write_manifest
from fleet.flash.profiles import MachineProfile
from fleet.flash.tools import find_tool, run_tool
from fleet.flash.tree import write_tree
from shared.console import err
from shared.errors import ImageError
from shared.log import get_logger
from shared.storage.disks import (
    BOOT_LABEL,
    DATA_LABEL,
    RECORD_LABEL,
    RECORD_PLACES,
    ROOT_LABELS,
    SECTOR,
)
from shared.storage.files import replacing
from shared.storage.slots import SlotRecord
from shared.storage.twin import pack

log = get_logger("image")

TOOLS = ("mmdebstrap", "mksquashfs", "mkfs.vfat", "mcopy", "mkfs.ext4", "bmaptool")
SQUASH_TIMEOUT_S = 1800.0
SMALL_TIMEOUT_S = 120.0
# 15, the default, takes seven times as long for a tenth less.
LEVEL = "3"
# The files' time in the slots and the ESP: any, as long as it is the same in each build.
EPOCH = "1700000000"


@dataclass(frozen=True, slots=True)
class Order:
    """What to build.

    bundle  the model that devices start with; None: each site's own
    cache   where what is built once is kept
    root    where the root file system goes too, for a release of it; None: nowhere
    time_servers   that a device asks beside those that DHCP names
    """

    profile: MachineProfile
    out: Path
    bundle: Path | None
    cache: Path
    root: Path | None = None
    time_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """Files of this machine, taken out of the root file system."""

    version: str
    vmlinuz: Path
    initrd: Path
    loader: Path


def build_image(order: Order, key: Ed25519PrivateKey) -> ImageManifest:
    """The image, its bmap and its signed manifest. Raises ImageError."""
    for tool in TOOLS:
        find_tool(tool)
    base = build_base(order.profile, order.cache)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=order.out.resolve().parent, prefix=".image-") as made:
        work = Path(made)
        with err.status("adding the agent"):
            tree = _tree(order, base, work)
        with err.status("compressing the root file system"):
            root = work / "root.sqfs"
            squash(tree, root)
        kernel = _kernel(order.profile, base, work)
        manifest = assemble(order.profile, order.out, kernel, root, work)
        if order.root is not None:
            shutil.move(root, order.root)
    write_manifest(order.out, manifest, key)
    log.info(
        "image_built",
        path=str(order.out),
        bytes=manifest.size,
        root=manifest.piece(ROOT_LABELS["a"]).size,
    )
    return manifest


def squash(tree: Path, out: Path) -> None:
    """A tar as a squashfs without /boot's files; the same tar gives the same bytes."""
    form = ["-comp", "zstd", "-Xcompression-level", LEVEL, "-b", "256K"]
    times = ["-mkfs-time", EPOCH, "-all-time", EPOCH]
    left_out = ["-root-mode", "755", "-wildcards", "-e", "boot/*"]
    run_tool(
        ["mksquashfs", "-", str(out), "-tar", "-quiet", "-no-progress", *form, *times, *left_out],
        timeout_s=SQUASH_TIMEOUT_S,
        feed=tree,
    )


def _tree(order: Order, base: Path, work: Path) -> Path:
    source = source_folder()
    packages = install_requirements(order.profile, source, order.cache)
    own = work / "own"
    install_wheel(build_wheel(source, work), own)
    # For demonstrations, and not for commercial use: a device has its own.
    shutil.rmtree(own / "hardware_sim" / "bundles")
    compile_python(own)
    told = {"version": installed_version("splitsight"), "profile": order.profile.name}
    path = work / "root.tar"
    shutil.copyfile(base, path)
    write_tree(
        path,
        [packages, own],
        version=msgspec.json.encode(told),
        bundle=order.bundle,
        time_servers=order.time_servers,
    )
    return path


def _kernel(profile: MachineProfile, base: Path, work: Path) -> Kernel:
    wanted = {
        "vmlinuz": "boot/vmlinuz-",
        "initrd": "boot/initrd.img-",
        "loader": f"usr/lib/systemd/boot/efi/{profile.loader[0]}",
    }
    found: dict[str, Path] = {}
    version = ""
    with tarfile.open(base) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            for what, prefix in wanted.items():
                if member.isfile() and name.startswith(prefix):
                    content = tar.extractfile(member)
                    found[what] = work / what
                    if content is not None:
                        found[what].write_bytes(content.read())
                    if what == "vmlinuz":
                        version = name.removeprefix(prefix)
    if missing := wanted.keys() - found.keys():
        raise ImageError(
            f"the root file system has no {', '.join(sorted(missing))}",
            fix="remove it from the cache, and build it again",
        )
    return Kernel(version, found["vmlinuz"], found["initrd"], found["loader"])


def assemble(
    profile: MachineProfile, out: Path, kernel: Kernel, root: Path, work: Path
) -> ImageManifest:
    """The disk image with its bmap from its parts; `work` is a folder for the time of building."""
    root_sum, root_size = sha256_of(root), root.stat().st_size
    table, size = plan(slot_bytes(root_size), f"{profile.name} {root_sum}")
    contents = {
        BOOT_LABEL: boot_partition(profile, kernel, table.named(BOOT_LABEL).size, work),
        ROOT_LABELS["a"]: root,
        DATA_LABEL: _data_partition(table, work),
    }
    with replacing(out, work / "disk.img") as fresh, fresh.open("w+b") as stream:
        stream.truncate(size)
        for label, path in contents.items():
            copy_data(path, stream.fileno(), table.named(label).start)
        _write_record(stream.fileno(), table.named(RECORD_LABEL).start)
        os.pwrite(stream.fileno(), head(table, size), 0)
        backup = tail(table, size)
        os.pwrite(stream.fileno(), backup, size - len(backup))
        create_bmap(fresh, bmap_path(out))
    return ImageManifest(
        profile=profile.name,
        version=installed_version("splitsight"),
        debian=RELEASE,
        kernel=kernel.version,
        size=size,
        bmap=sha256_of(bmap_path(out)),
        identity=str(table.disk),
        pieces=tuple(
            ImagePiece(
                label=label,
                start=table.named(label).start,
                room=table.named(label).size,
                size=path.stat().st_size,
                sha256=root_sum if path is root else sha256_of(path),
            )
            for label, path in contents.items()
        ),
    )


def boot_partition(profile: MachineProfile, kernel: Kernel, size: int, work: Path) -> Path:
    """A FAT file system with the boot loader, the kernel and a folder for the site's files."""
    path = work / "boot.vfat"
    run_tool(
        ["mkfs.vfat", "-C", "--invariant", "-F", "32", "-n", "SPLITSIGHT", path, str(size // 1024)],
        timeout_s=SMALL_TIMEOUT_S,
    )
    (work / "loader.conf").write_text("timeout 0\neditor no\n", encoding="ascii")
    (work / "entry.conf").write_text(
        "title splitsight\nlinux /splitsight-kernel/vmlinuz\ninitrd /splitsight-kernel/initrd\n"
        f"options root=PARTLABEL={ROOT_LABELS['a']} rootfstype=squashfs ro panic=10 "
        f"console=tty0 console={profile.console}\n",
        encoding="ascii",
    )
    folders = ("EFI", "EFI/BOOT", "loader", "loader/entries", "splitsight-kernel", "splitsight")
    run_tool(["mmd", "-i", path, *(f"::{name}" for name in folders)], timeout_s=SMALL_TIMEOUT_S)
    for source, target in (
        (kernel.loader, f"EFI/BOOT/{profile.loader[1]}"),
        (work / "loader.conf", "loader/loader.conf"),
        (work / "entry.conf", "loader/entries/splitsight.conf"),
        (kernel.vmlinuz, "splitsight-kernel/vmlinuz"),
        (kernel.initrd, "splitsight-kernel/initrd"),
    ):
        run_tool(["mcopy", "-i", path, source, f"::{target}"], timeout_s=SMALL_TIMEOUT_S)
    return path


def _data_partition(table: Table, work: Path) -> Path:
    path = work / "data.ext4"
    size = table.named(DATA_LABEL).size
    identity = str(table.named(DATA_LABEL).unique)
    run_tool(
        [
            *("mkfs.ext4", "-q", "-b", "4096", "-i", "16384", "-m", "1", "-L", "data"),
            *("-J", "size=8", "-U", identity, "-O", "^metadata_csum_seed"),
            *("-E", f"hash_seed={identity},lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
            *(path, f"{size // 1024}k"),
        ],
        timeout_s=SMALL_TIMEOUT_S,
    )
    # Zeros count: on a card that was used before they would be something else.
    path.write_bytes(path.read_bytes())
    return path


def _write_record(handle: int, start: int) -> None:
    """Slot a is live. The other copy is empty, so that nothing of an older card is left there."""
    os.pwrite(handle, pack(1, SlotRecord().to_fields()), start + RECORD_PLACES[0])
    os.pwrite(handle, bytes(SECTOR), start + RECORD_PLACES[1])
