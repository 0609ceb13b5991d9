"""Writing a card: what is refused, what is written, and what is said when it goes wrong."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.flash.card import Card, check_content, make_card, open_image
from fleet.flash.device import FileDisk
from fleet.flash.disks import list_candidates, require_flashable
from fleet.flash.flasher import Flasher, Report, card_state
from fleet.flash.gpt import HEAD_SECTORS, TAIL_SECTORS, Table, head, parse, tail
from fleet.flash.layout import MIB, grown, plan
from fleet.flash.manifest import bmap_path, load_public_key, manifest_path
from fleet.flash.meter import Lines
from fleet.flash.site import site_files
from shared.clock import ManualClock
from shared.errors import DeviceRefused, FlashError, ImageError, SettingsError
from shared.storage.disks import BOOT_LABEL, DATA_LABEL, ROOT_LABELS, SECTOR
from tests.fleet.flash.conftest import SITE, Built
from tests.support.commands import splitsight

SIZE = 1 << 30


def disk_row(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "name": "sdz",
        "path": "/dev/sdz",
        "size": SIZE,
        "model": "Card Reader ",
        "ro": False,
        "type": "disk",
        "mountpoints": [None],
    }
    return row | changes


def listed(*rows: dict[str, object]) -> str:
    return msgspec.json.encode({"blockdevices": rows}).decode()


REFUSALS = [
    ({}, ""),
    ({"mountpoints": ["/mnt/card"]}, "is mounted at /mnt/card"),
    ({"children": [{"mountpoints": ["/media/x"]}]}, "is mounted at /media/x"),
    ({"children": [{"mountpoints": ["/"]}]}, "is this machine's own disk"),
    ({"mountpoints": ["[SWAP]"]}, "is this machine's own disk"),
    ({"ro": True}, "is read-only"),
    ({"size": SIZE // 4}, "is too small"),
    ({"size": 2 * 10**12}, "is very large (2.0 TB)"),
]


@pytest.mark.parametrize(("changes", "refused"), REFUSALS)
def test_each_disk_is_listed_with_the_reason_why_it_must_not_be_written(
    changes: dict[str, object], refused: str
) -> None:
    rows = (disk_row(**changes), disk_row(type="rom"), disk_row(size=0))
    (candidate,) = list_candidates(SIZE // 2, listed(*rows))
    assert candidate.model == "Card Reader"
    assert candidate.refused.startswith(refused)
    assert bool(candidate.refused) == bool(refused)


def test_force_takes_a_large_disk_but_never_a_mounted_one(tmp_path: Path) -> None:
    device = Path("/dev/null").resolve()
    with pytest.raises(DeviceRefused, match="neither a disk nor a file"):
        require_flashable(device, SIZE, [], force=True)
    (large,) = list_candidates(SIZE, listed(disk_row(size=10**12)))
    (mounted,) = list_candidates(SIZE, listed(disk_row(mountpoints=["/mnt"])))
    assert large.forceable
    assert not mounted.forceable


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceRefused, match="/dev/sdnone is not there"):
        require_flashable(Path("/dev/sdnone"), SIZE, [], force=False)


def test_a_file_that_is_too_small_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(bytes(1000))
    with pytest.raises(DeviceRefused, match=r"the image needs 1\.07 GB"):
        require_flashable(path, SIZE, [], force=False)


def test_a_disk_smaller_than_the_image_is_refused_before_anything_is_written() -> None:
    table, size = plan(256 * MIB, "x")
    with pytest.raises(DeviceRefused, match="is too small"):
        grown(table, size - MIB)


@given(st.integers(0, 3000), st.integers(0, SECTOR - 1))
def test_the_data_partition_takes_the_rest_of_any_disk(extra_mib: int, odd: int) -> None:
    table, size = plan(256 * MIB, "x")
    whole = (size + extra_mib * MIB + odd) // SECTOR * SECTOR
    larger = grown(table, whole)
    assert larger.named(DATA_LABEL).size == table.named(DATA_LABEL).size + extra_mib * MIB
    assert [p for p in larger.partitions if p.label != DATA_LABEL] == [
        p for p in table.partitions if p.label != DATA_LABEL
    ]
    assert tables_of(larger, whole) == (larger, larger)


def tables_of(table: Table, size: int) -> tuple[Table | None, Table | None]:
    """What is read back, and what is read back where the primary table is lost."""
    first, last = head(table, size), tail(table, size)
    end = size - TAIL_SECTORS * SECTOR

    def read(offset: int, length: int, lost: int = 0) -> bytes:
        if offset >= end:
            return last[offset - end : offset - end + length]
        return (bytes(lost) + first[lost:])[offset : offset + length]

    def read_without_head(offset: int, length: int) -> bytes:
        return read(offset, length, HEAD_SECTORS * SECTOR)

    return parse(read, size), parse(read_without_head, size)


@pytest.mark.process
def test_debians_own_tool_finds_nothing_wrong_with_the_table(built: Built) -> None:
    said = subprocess.run(
        ["/usr/sbin/sgdisk", "--verify", built.path], capture_output=True, check=True, timeout=30
    )
    assert b"No problems found" in said.stdout


def opened_card(built: Built, site: Path, folder: Path) -> Card:
    opened = open_image(built.path, load_public_key(built.public_key))
    assert max(check_content(opened)) == opened.bmap.used
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return make_card(opened, site_files(site, None, []), work)


def card_file(folder: Path, size: int, fill: bytes = b"\xa5") -> Path:
    path = folder / "card.img"
    path.write_bytes(fill * size)
    return path


@pytest.mark.process
def test_a_used_card_holds_sound_file_systems_and_the_sites_files_afterwards(
    built: Built, site: Path, tmp_path: Path
) -> None:
    path = card_file(tmp_path, built.manifest.size + 8 * MIB)
    disk = FileDisk(path)
    reports: list[Report] = []
    Flasher(disk, opened_card(built, site, tmp_path), reports.append).flash()
    table = parse(disk.read, disk.size)
    assert table is not None
    assert card_state(disk).kind == "complete"
    root, boot = table.named(ROOT_LABELS["a"]), table.named(BOOT_LABEL)
    assert disk.read(root.start, 200_000) == b"root" * 50_000
    inside = f"{path}@@{boot.start}"
    said = subprocess.run(
        ["mtype", "-i", inside, "::splitsight/site.yaml"], capture_output=True, check=True
    )
    assert said.stdout.decode() == SITE
    for label, check in ((BOOT_LABEL, ["fsck.vfat", "-n"]), (DATA_LABEL, ["e2fsck", "-fn"])):
        part = table.named(label)
        file = tmp_path / label
        file.write_bytes(disk.read(part.start, part.size))
        subprocess.run(
            [f"/usr/sbin/{check[0]}", *check[1:], file], check=True, capture_output=True, timeout=60
        )
    disk.close()
    assert [report.step for report in reports if report.done == report.total] == [
        *("erase", "write", "verify", "finish")
    ]


class PulledCard(FileDisk):
    """A card that is pulled out after so many written bytes."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self._left = after

    def write(self, offset: int, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.EIO, "Input/output error")
        super().write(offset, data)


@pytest.mark.process
def test_a_card_that_is_pulled_out_is_unfinished_and_the_next_run_goes_on(
    built: Built, site: Path, tmp_path: Path
) -> None:
    path = card_file(tmp_path, built.manifest.size)
    card = opened_card(built, site, tmp_path)
    pulled = PulledCard(path, 40 * MIB)
    with pytest.raises(FlashError, match=r"stopped answering \(Input/output error\)") as refusal:
        Flasher(pulled, card, lambda _: None, note_every=8 * MIB).flash()
    assert "it does not boot" in refusal.value.message
    assert "goes on from there" in refusal.value.fix
    pulled.close()
    disk = FileDisk(path)
    state = card_state(disk)
    assert state.kind == "unfinished"
    assert 8 * MIB <= state.reached <= 40 * MIB
    assert parse(disk.read, disk.size) is None
    reports: list[Report] = []
    Flasher(disk, card, reports.append).flash()
    assert card_state(disk).kind == "complete"
    assert min(r.done for r in reports if r.step == "write") > state.reached
    disk.close()


class FakeSize(FileDisk):
    """A card that says that it is larger than it is: the end overwrites the beginning."""

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset if offset < 600 * MIB else offset % MIB + 2 * MIB, data)


@pytest.mark.process
def test_a_card_that_lies_about_its_size_is_found_by_reading_back(
    built: Built, site: Path, tmp_path: Path
) -> None:
    disk = FakeSize(card_file(tmp_path, built.manifest.size, b"\0"))
    with pytest.raises(FlashError, match="gives back something else"):
        Flasher(disk, opened_card(built, site, tmp_path), lambda _: None).flash()
    assert parse(disk.read, disk.size) is None
    disk.close()


@pytest.mark.process
def test_a_manifest_of_another_key_is_refused(built: Built, tmp_path: Path) -> None:
    from fleet.flash.manifest import load_or_make_key

    other = tmp_path / "other.key"
    load_or_make_key(other)
    with pytest.raises(ImageError, match="is not signed by the key that was given"):
        open_image(built.path, load_public_key(other.with_suffix(".pub")))


def spoil_size(image: Built) -> None:
    with image.path.open("r+b") as stream:
        stream.truncate(image.manifest.size - MIB)


def spoil_bmap(image: Built) -> None:
    path = bmap_path(image.path)
    path.write_text(path.read_text().replace("chksum", "chksun", 1))


def spoil_manifest(image: Built) -> None:
    path = manifest_path(image.path)
    path.write_bytes(path.read_bytes().replace(b'"profile":"x86-64"', b'"profile":"x86-65"'))


def spoil_content(image: Built) -> None:
    with image.path.open("r+b") as stream:
        stream.seek(image.manifest.piece(ROOT_LABELS["a"]).start + 1000)
        stream.write(b"?")


def remove_manifest(image: Built) -> None:
    manifest_path(image.path).unlink()


SPOILT = [
    (spoil_size, "its manifest says"),
    (spoil_bmap, "is not the one that was signed"),
    (spoil_manifest, "is not signed by the key"),
    (spoil_content, "is damaged at byte"),
    (remove_manifest, "has no manifest beside it"),
]


@pytest.mark.process
@pytest.mark.parametrize(("spoil", "said"), SPOILT)
def test_an_image_that_is_not_what_was_signed_is_refused(
    built: Built, tmp_path: Path, spoil: object, said: str
) -> None:
    image = built.copied(tmp_path)
    assert callable(spoil)
    spoil(image)
    with pytest.raises(ImageError, match=said):
        list(check_content(open_image(image.path, load_public_key(image.public_key))))


def flash_command(built: Built, *words: str) -> list[str]:
    return [
        *("fleet", "flash", "--image", str(built.path)),
        *("--public-key", str(built.public_key), *words),
    ]


@pytest.mark.process
def test_the_command_writes_a_file_and_reports_each_step_as_a_line(
    built: Built, site: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new.img"
    words = ["--disk", str(target), "--config", str(site), "--format", "json"]
    done = splitsight(*flash_command(built, *words))
    assert done.code == 0, done.stderr
    rows = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert [r["step"] for r in rows if r["done"] == r["total"]][-4:] == [
        *("erase", "write", "verify", "finish")
    ]
    assert {"step", "done", "total", "mb_per_s", "left_s"} == set(rows[0])
    disk = FileDisk(target)
    assert card_state(disk).kind == "complete"
    disk.close()


@pytest.mark.process
def test_without_a_device_the_command_lists_them(built: Built) -> None:
    done = splitsight(*flash_command(built, "--format", "json"))
    assert done.code == 0, done.stderr
    assert all("refused" in row for row in msgspec.json.decode(done.stdout))


@pytest.mark.process
def test_a_site_with_mistakes_is_told_with_file_and_line_before_anything_is_written(
    built: Built, site: Path, tmp_path: Path
) -> None:
    site.write_text(SITE.replace("kind: rtsp", "kind: rtps"), encoding="utf-8")
    target = tmp_path / "new.img"
    done = splitsight(*flash_command(built, "--disk", str(target), "--config", str(site)))
    assert done.code == SettingsError.exit_code
    assert "site.yaml:5: camera.kind" in done.stderr
    assert not target.exists()


@pytest.mark.process
def test_a_missing_site_is_told(built: Built, tmp_path: Path) -> None:
    target = str(tmp_path / "new.img")
    done = splitsight(*flash_command(built, "--disk", target))
    assert done.code == SettingsError.exit_code
    assert "--config is missing" in done.stderr
    words = ["--disk", target, "--config", str(tmp_path / "none.yaml")]
    done = splitsight(*flash_command(built, *words))
    assert "none.yaml can't be read" in done.stderr


IDENTITY = SITE + "identity: {gateway: 'https://10.0.0.1:8443', ca: ca.pem, claim_file: claim}\n"


def test_a_claim_and_the_files_that_the_site_names_come_along(site: Path, tmp_path: Path) -> None:
    site.write_text(IDENTITY, encoding="utf-8")
    authority = tmp_path / "ca.pem"
    authority.write_text("certificate", encoding="utf-8")
    files = site_files(site, " token ", [authority])
    assert files["claim"] == b"token\n"
    assert files["ca.pem"] == b"certificate"


MISTAKES = [
    (IDENTITY, "token", r"site.yaml:7: ca\.pem would not be on the device"),
    (IDENTITY.replace("ca: ca.pem", "ca: /etc/ca.pem"), None, r"site.yaml:7: claim would not be"),
    (SITE, "token", "does not say where the claim is"),
]


@pytest.mark.parametrize(("text", "claim", "said"), MISTAKES)
def test_a_file_that_would_be_missing_on_the_device_is_told(
    site: Path, text: str, claim: str | None, said: str
) -> None:
    site.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=said):
        site_files(site, claim, [])


def test_progress_as_lines_has_the_rate_and_the_time_left() -> None:
    clock, shown = ManualClock(), list[str]()
    meter = Lines(clock, shown.append)
    for done in range(0, 101, 10):
        meter.report(Report("write", done * 10**6, 100 * 10**6))
        clock.advance(0.4)
    rows = [msgspec.json.decode(line) for line in shown]
    assert len(rows) < 10
    assert rows[1]["mb_per_s"] == pytest.approx(25)
    assert rows[1]["left_s"] == pytest.approx(3.2)
    assert rows[-1]["done"] == 100 * 10**6
