"""Building an image: what is refused, and what is the same each time."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

import pytest

from fleet.flash.debian import check_emulation
from fleet.flash.image import squash
from fleet.flash.machine import KINDS, has_kvm
from fleet.flash.manifest import sha256_of
from fleet.flash.profiles import profile_named
from fleet.flash.tools import find_tool, run_tool
from fleet.flash.tree import TIME_PLACE, TreeWriter, write_tree
from shared.errors import ImageError, SettingsError
from tests.fleet.flash.conftest import require_tools
from tests.support.commands import splitsight


@pytest.mark.process
def test_an_unknown_profile_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'"x86_64" is not one of x86-64, arm64 \(did you mean'):
        profile_named("x86_64")
    done = splitsight(
        "fleet", "image", "build", "--profile", "riscv", "--out", tmp_path / "disk.img"
    )
    assert done.code == SettingsError.exit_code
    assert '"riscv" is not one of' in done.stderr


def test_a_missing_tool_is_told_with_its_package() -> None:
    with pytest.raises(ImageError, match=r"no-such-tool is not installed.*make image-tools"):
        find_tool("no-such-tool")


@pytest.mark.process
def test_a_tool_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(ImageError, match=r"ls ended with 2:\n  .*ls: cannot access"):
        run_tool(["ls", "/no/such/place"], timeout_s=10)


def test_another_architecture_without_its_emulator_is_told(tmp_path: Path) -> None:
    arm = profile_named("arm64")
    with pytest.raises(ImageError, match=r"qemu-aarch64 is missing.*qemu-user-static"):
        check_emulation(arm, tmp_path, "x86_64")
    (tmp_path / "qemu-aarch64").touch()
    check_emulation(arm, tmp_path, "x86_64")
    check_emulation(arm, tmp_path / "none", "aarch64")


def tree(path: Path, order: int) -> Path:
    """A tar of a few files; `order` changes what must not matter: times and the build's folder."""
    with tarfile.open(path, "w") as tar:
        for name in ("./", "./boot/", "./etc/"):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, order
            tar.addfile(member)
    added = TreeWriter(path)
    for number in range(50):
        added.file(PurePosixPath(f"etc/{number}"), f"{number}".encode() * 1000, 0o640)
    added.file(PurePosixPath("boot/vmlinuz"), b"kernel")
    added.file(PurePosixPath("usr/bin/tool"), b"#!/bin/sh\n", 0o755)
    added.close()
    return path


@pytest.mark.process
def test_the_same_tree_gives_the_same_slot_whenever_it_is_built(tmp_path: Path) -> None:
    require_tools("mksquashfs")
    sums = set()
    for order in (1, 2_000_000):
        folder = tmp_path / str(order)
        folder.mkdir()
        squash(tree(folder / "tree.tar", order), folder / "root.sqfs")
        sums.add(sha256_of(folder / "root.sqfs"))
    assert len(sums) == 1


@pytest.mark.process
def test_a_slot_holds_no_kernel_and_belongs_to_root(tmp_path: Path) -> None:
    require_tools("mksquashfs", "unsquashfs")
    squash(tree(tmp_path / "tree.tar", 1), tmp_path / "root.sqfs")
    listed = run_tool(["unsquashfs", "-ll", tmp_path / "root.sqfs"], timeout_s=30).splitlines()
    rows = {line.split()[-1]: line.split()[:2] for line in listed if line.count("/") > 1}
    assert "squashfs-root/boot/vmlinuz" not in rows
    assert rows["squashfs-root/boot"] == ["drwxr-xr-x", "root/root"]
    assert rows["squashfs-root/usr/bin/tool"] == ["-rwxr-xr-x", "root/root"]
    (top,) = [line for line in listed if line.endswith(" squashfs-root")]
    assert top.startswith("drwxr-xr-x root/root")


@pytest.mark.parametrize(("flags", "works"), [("fpu vmx", True), ("fpu svm", True), ("fpu", False)])
def test_kvm_counts_only_where_the_processor_has_it_too(
    tmp_path: Path, flags: str, works: bool
) -> None:
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("the processor's flags are those of x86")
    kvm, cpu_info = tmp_path / "kvm", tmp_path / "cpuinfo"
    kvm.touch()
    cpu_info.write_text(f"flags : {flags}\n", encoding="utf-8")
    assert has_kvm(KINDS["x86-64"], kvm, cpu_info) is works
    assert not has_kvm(KINDS["x86-64"], tmp_path / "none", cpu_info)


def test_a_device_asks_the_plants_own_servers_for_the_time_and_never_debians(
    tmp_path: Path,
) -> None:
    path = tmp_path / "root.tar"
    tarfile.open(path, "w").close()
    servers = ["10.0.0.1", "time.plant"]
    write_tree(path, [], version=b"{}", bundle=None, time_servers=servers)
    with tarfile.open(path) as tar:
        content = tar.extractfile(f"./{TIME_PLACE}")
        assert content is not None
        assert content.read() == b"[Time]\nNTP=10.0.0.1 time.plant\nFallbackNTP=\n"
