"""Applications and disk images: two places each, and a start that follows the record."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from edge.updates.base import Label, Vitals
from edge.updates.disk import RealDisk
from edge.updates.fakes import KnownOffers, MemorySource
from edge.updates.hosts.applications import SLOT_VARIABLE, AppHost, AppSlots
from edge.updates.hosts.images import BlockFile, ImageHost, ImageSlots, rebooting, running_slot
from edge.updates.hosts.launcher import launched
from edge.updates.hosts.restart import RestartHost
from edge.updates.progress import Memo
from edge.updates.service.assembly import app_slot, read_temperature
from edge.updates.state_machine import UpdateMachine
from shared.clock import ManualClock
from shared.errors import UpdateError
from shared.storage.disks import RECORD_BYTES, SectorPair
from shared.storage.slots import Slot, SlotRecord
from shared.storage.twin import Twin
from tests.edge.update_rigs import Bench, content, label_of, patch_of

PROGRAM = f"#!{sys.executable}\nimport sys\nsys.exit(int('broken' in __file__))\n"


def packed(files: dict[str, bytes], mode: int = 0o755) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), mode
            tar.addfile(member, io.BytesIO(body))
    return zstandard.ZstdCompressor().compress(raw.getvalue())


def application(version: str, program: str = PROGRAM) -> bytes:
    return packed({"bin/splitsight": program.encode(), "VERSION": version.encode()})


@pytest.fixture
def app(tmp_path: Path) -> AppSlots:
    return AppSlots(RealDisk(), tmp_path / "app")


def put(slots: AppSlots, slot: Slot, version: str, payload: bytes | None = None) -> Label:
    raw = application(version) if payload is None else payload
    label = label_of(f"firmware/app/m/{version}.tar.zst", raw, int(version))
    slots.write(slot, "payload", 0, raw)
    slots.name(slot, label)
    return label


def test_an_application_is_unpacked_before_it_is_named(app: AppSlots) -> None:
    label = put(app, "b", "2")
    assert app.held("b") == label
    assert (app.tree("b") / "VERSION").read_text() == "2"
    assert os.access(app.tree("b") / "bin" / "splitsight", os.X_OK)


def test_an_application_that_reaches_out_of_its_folder_is_refused(app: AppSlots) -> None:
    raw = packed({"../outside": b"gotcha"})
    app.write("b", "payload", 0, raw)
    with pytest.raises(UpdateError, match="can't be unpacked"):
        app.name("b", label_of("x", raw, 2))
    assert app.held("b") is None
    assert not (app.folder.parent / "outside").exists()
    assert not (app.folder / "outside").exists()


@pytest.mark.parametrize("raw", [b"", b"no archive", application("2")[:-40]])
def test_an_archive_that_is_damaged_is_refused(app: AppSlots, raw: bytes) -> None:
    app.write("b", "payload", 0, raw)
    with pytest.raises(UpdateError, match="unpacked"):
        app.name("b", label_of("x", raw, 2))


def test_the_application_that_runs_is_never_touched(app: AppSlots) -> None:
    app.mark(SlotRecord("b"))
    put(app, "a", "1")
    app.mark(SlotRecord("a"))
    for change in (app.discard, lambda slot: app.write(slot, "payload", 0, b"x")):
        with pytest.raises(UpdateError, match="in use"):
            change("a")
    assert (app.tree("a") / "VERSION").read_text() == "1"


def test_an_emptied_slot_is_not_taken_for_what_was_installed(app: AppSlots) -> None:
    put(app, "b", "2")
    app.discard("b")
    held = app.held("b")
    assert held is not None
    assert held.path == "nothing"
    assert not app.tree("b").exists()


@pytest.mark.process
def test_an_application_that_does_not_start_here_is_not_proven(app: AppSlots) -> None:
    host = AppHost(app, "a", lambda: None)
    host.prove("b", put(app, "b", "2"))
    raw = application("3", "#!/bin/sh\necho 'no such CPU' >&2\nexit 3\n")
    app.discard("b")
    with pytest.raises(UpdateError, match="no such CPU"):
        host.prove("b", put(app, "b", "3", raw))
    raw = packed({"VERSION": b"4"})
    app.discard("b")
    with pytest.raises(UpdateError, match="does not start here"):
        host.prove("b", put(app, "b", "4", raw))


def test_the_launcher_starts_what_the_record_names_and_takes_the_try(app: AppSlots) -> None:
    config = Path("box.yaml")
    command, environment = launched(app.folder.parent, config)
    assert command[:3] == [sys.executable, "-m", "shared.commands"]
    assert environment[SLOT_VARIABLE] == "a"
    put(app, "b", "2")
    app.mark(SlotRecord("a").tried("b", 2))
    for left in (1, 0):
        command, environment = launched(app.folder.parent, config)
        assert command == [str(app.tree("b") / "bin" / "splitsight"), *command[1:]]
        assert command[1:] == ["edge", "run", "--config", "box.yaml"]
        assert environment[SLOT_VARIABLE] == "b"
        assert app.marked().record.tries == left
    command, environment = launched(app.folder.parent, config)
    assert environment[SLOT_VARIABLE] == "a"
    assert app.marked().record == SlotRecord("a")


def test_the_launcher_does_not_start_a_trial_that_is_not_there(app: AppSlots) -> None:
    app.mark(SlotRecord("a").tried("b", 2))
    command, environment = launched(app.folder.parent, Path("box.yaml"))
    assert command[0] == sys.executable
    assert environment[SLOT_VARIABLE] == "a"
    assert app.marked().record == SlotRecord("a")


def test_without_updates_the_launcher_runs_this_installation() -> None:
    command, environment = launched(None, Path("box.yaml"))
    assert command[0] == sys.executable
    assert environment.get(SLOT_VARIABLE) == os.environ.get(SLOT_VARIABLE)
    assert app_slot() is None


@pytest.mark.process
def test_an_application_update_over_three_starts(app: AppSlots, tmp_path: Path) -> None:
    """Fetched, asked for, tried, kept: each start is a process of its own."""
    bench = Bench()
    raw = application("2")
    bench.offers, bench.source = KnownOffers(), MemorySource({"u": raw})
    label = label_of("firmware/app/m/2.tar.zst", raw, 2)
    bench.offer(label.path, raw, 2)
    bench.source = MemorySource({f"http://gateway/{label.path}": raw})
    asked: list[str] = []
    clock = ManualClock()

    def start() -> UpdateMachine:
        slot = app.booted()
        host = AppHost(app, slot, lambda: asked.append(slot))
        host.attach(lambda: Vitals(5))
        memo = Memo(RealDisk(), tmp_path / "app" / "memo.json")
        machine = UpdateMachine(
            "app",
            slots=app,
            host=host,
            offers=bench.offers,
            source=bench.source,
            memo=memo,
            clock=clock,
            reserve=0,
        )
        bench.machine = machine
        bench.want(target=label.path)
        return machine

    machine = start()
    for _ in range(20):
        clock.advance(max(machine.step(), 0.1))
    assert asked
    assert machine.progress.phase == "switching"
    machine = start()
    assert machine.progress.phase == "trial"
    for _ in range(60):
        clock.advance(max(machine.step(), 0.1))
    assert machine.progress.running == label.path
    assert start().progress.running == label.path
    assert app.marked().record == SlotRecord("b")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """What stands for the partitions of a flashed device."""
    for name, size in (("record", RECORD_BYTES), ("slot-a", 1 << 16), ("slot-b", 1 << 16)):
        (tmp_path / name).write_bytes(bytes(size))
    Twin(SectorPair(BlockFile(tmp_path / "record"), 0)).write(SlotRecord("a").to_fields())
    return tmp_path


@pytest.fixture
def images(disk: Path) -> ImageSlots:
    partitions: dict[Slot, Path] = {"a": disk / "slot-a", "b": disk / "slot-b"}
    return ImageSlots(RealDisk(), disk / "image", disk / "record", partitions)


IMAGE = b"hsqs" + content(1, 20_000)


def test_an_image_goes_straight_into_its_partition_and_is_checked_there(
    images: ImageSlots, disk: Path
) -> None:
    images.discard("b")
    for offset in range(0, len(IMAGE), 4096):
        images.write("b", "payload", offset, IMAGE[offset : offset + 4096])
    assert images.digest("b", "payload", len(IMAGE)) == hashlib.sha256(IMAGE).hexdigest()
    label = label_of("firmware/image/m/2.sqfs", IMAGE, 2)
    images.name("b", label)
    assert images.held("b") == label
    ImageHost(images, "a", lambda: None).prove("b", label)
    images.mark(images.marked().record.tried("b", 2))
    assert (disk / "slot-a").read_bytes() == bytes(1 << 16)
    assert (disk / "slot-b").read_bytes()[: len(IMAGE)] == IMAGE


def test_an_image_is_patched_from_the_one_that_runs(images: ImageSlots) -> None:
    images.write("b", "payload", 0, IMAGE)
    images.name("b", label_of("firmware/image/m/2.sqfs", IMAGE, 2))
    images.mark(SlotRecord("b"))
    following = IMAGE[:9000] + content(2, 8000)
    patch = patch_of(IMAGE, following)
    images.write("a", "delta", 0, patch)
    images.patch("a", len(following))
    assert images.digest("a", "payload", len(following)) == hashlib.sha256(following).hexdigest()


def test_an_image_that_is_larger_than_its_slot_is_refused(images: ImageSlots) -> None:
    assert images.lacks(1 << 17, 0, 0) == 1 << 16
    assert images.lacks(1 << 16, 0, 0) == 0
    with pytest.raises(UpdateError, match="larger than its slot"):
        images.write("b", "payload", (1 << 16) - 10, bytes(20))


def test_what_is_no_squashfs_is_not_proven(images: ImageSlots) -> None:
    raw = content(3, 5000)
    images.write("b", "payload", 0, raw)
    label = label_of("firmware/image/m/2.sqfs", raw, 2)
    with pytest.raises(UpdateError, match="no squashfs"):
        ImageHost(images, "a", lambda: None).prove("b", label)


def test_an_image_that_was_flashed_has_nothing_to_be_patched(images: ImageSlots) -> None:
    images.write("b", "delta", 0, b"x")
    with pytest.raises(UpdateError, match="nothing to patch"):
        images.patch("b", 10)


def test_the_boot_script_says_which_image_runs(tmp_path: Path) -> None:
    said = tmp_path / "slot"
    said.write_text("b\n")
    assert running_slot(said) == "b"
    said.write_text("c\n")
    with pytest.raises(UpdateError, match="not a or b"):
        running_slot(said)
    with pytest.raises(UpdateError, match="does not say"):
        running_slot(tmp_path / "missing")


@pytest.mark.process
def test_a_restart_that_can_not_be_asked_for_says_why() -> None:
    rebooting(["true"])()
    with pytest.raises(UpdateError, match="false failed"):
        rebooting(["false"])()
    with pytest.raises(UpdateError, match="failed"):
        rebooting(["no-such-program-here"])()


def test_what_runs_needs_no_restart() -> None:
    asked: list[int] = []
    host = RestartHost("a", lambda: asked.append(1))
    host.switch("a")
    assert asked == []
    host.switch("b")
    assert asked == [1]
    assert host.running() == "a"


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    assert read_temperature(tmp_path) is None
    for zone, said in (("0", "41000\n"), ("1", "55500\n"), ("2", "broken")):
        (tmp_path / f"thermal_zone{zone}").mkdir()
        (tmp_path / f"thermal_zone{zone}" / "temp").write_text(said)
    assert read_temperature(tmp_path) == 55.5
