"""Versions of real folders: recorded beside the data, found again, and compared."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from cloud.datasets.readers import read
from cloud.datasets.versions.desk import VersionDesk
from cloud.datasets.versions.file_hashes import CACHE, FOLDER, FileHashes
from cloud.datasets.versions.standing import standing_of
from cloud.datasets.versions.version import pictures_of
from shared.clock import ManualClock, SystemClock
from shared.errors import DataError
from tests.cloud.datasets.makers import good_and_bad, part, save

HOUR = 3600.0


@pytest.fixture
def screws(tmp_path: Path) -> Path:
    """A folder of 6 good and 4 defective parts."""
    return good_and_bad(tmp_path / "screws", 6, 4)


@pytest.fixture
def clock() -> ManualClock:
    """An hour ahead, so that no file was written just now."""
    return ManualClock(utc=SystemClock().utc() + HOUR)


def opened(root: Path, clock: ManualClock) -> VersionDesk:
    return VersionDesk(str(root), clock=clock)


def test_a_version_says_what_there_was_who_recorded_it_and_what_it_follows(
    screws: Path, clock: ManualClock
) -> None:
    data = opened(screws, clock)
    first, new = data.record("as it came", "ada")
    assert new
    assert (first.name, first.committer, first.message) == ("screws", "ada", "as it came")
    assert (first.parents, first.creation_date) == ((), int(clock.utc()))
    assert sum(first.counts["good"].values()) == 6
    assert sum(first.counts["blot"].values()) == 4
    save(screws / "good" / "900.png", part(900))
    second, _ = data.record("one more", "bob")
    assert second.parents == (first.id,)
    # Also by a clock that was behind.
    clock.advance(-HOUR / 2)
    save(screws / "good" / "901.png", part(901))
    third, _ = data.record("another", "bob")
    assert [one.id for one in data.store.versions()] == [third.id, second.id, first.id]
    assert data.store.find("latest") == third
    found = data.difference(first.id[:6], second.id)
    assert found.difference.added == ["good/900.png"]
    assert found.difference.in_words() == "1 added"


def test_what_has_not_changed_makes_no_version(screws: Path, clock: ManualClock) -> None:
    data = opened(screws, clock)
    first, _ = data.record("as it came", "ada")
    assert data.record("again", "ada") == (first, False)
    assert len(data.store.versions()) == 1
    assert data.difference("latest", "now").difference.counts() == {}


def test_versions_of_two_people_that_are_copied_together_are_both_parents_of_the_next(
    screws: Path, tmp_path: Path, clock: ManualClock
) -> None:
    opened(screws, clock).record("as it came", "ada")
    other = tmp_path / "copy" / "screws"
    shutil.copytree(screws, other)
    save(screws / "good" / "900.png", part(900))
    save(other / "good" / "901.png", part(901))
    ids = {opened(root, clock).record("more", "bob")[0].id for root in (screws, other)}
    shutil.copytree(other, screws, dirs_exist_ok=True)
    merged, _ = opened(screws, clock).record("both", "ada")
    assert set(merged.parents) == ids


def test_a_second_run_reads_only_what_changed_also_where_its_time_was_put_back(
    screws: Path, clock: ManualClock
) -> None:
    opened(screws, clock).record("as it came", "ada")
    dataset = read(str(screws))
    again = FileHashes(screws, clock)
    before = pictures_of(dataset, again)
    assert again.read == 0
    changed = screws / "good" / "001.png"
    status = changed.stat()
    raw = bytearray(changed.read_bytes())
    raw[-20] ^= 1
    changed.write_bytes(raw)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    third = FileHashes(screws, clock)
    after = pictures_of(dataset, third)
    assert third.read == 1
    assert [a.relpath for a, b in zip(after, before, strict=True) if a.sha256 != b.sha256] == [
        "good/001.png"
    ]


def test_a_file_that_was_written_just_now_is_read_again_the_next_time(screws: Path) -> None:
    """Within one tick of the file system it could change and look the same."""
    just_now = ManualClock(utc=SystemClock().utc())
    opened(screws, just_now).record("as it came", "ada")
    hashes = FileHashes(screws, just_now)
    pictures_of(read(str(screws)), hashes)
    assert hashes.read == 10


def test_a_damaged_cache_costs_only_time(screws: Path, clock: ManualClock) -> None:
    first, _ = opened(screws, clock).record("as it came", "ada")
    (screws / FOLDER / CACHE).write_bytes(b"\xc1 damaged")
    assert opened(screws, clock).record("again", "ada") == (first, False)


def test_a_change_is_told_before_the_set_is_used(screws: Path, clock: ManualClock) -> None:
    assert standing_of(read(str(screws)), str(screws)) is None
    data = opened(screws, clock)
    first, _ = data.record("as it came", "ada")
    standing = standing_of(read(str(screws)), str(screws))
    assert standing is not None
    assert (standing.name, standing.told(str(screws))) == (
        first.id,
        f"version {first.id}: as it came",
    )
    save(screws / "good" / "900.png", part(900))
    changed = standing_of(read(str(screws)), str(screws))
    assert changed is not None
    assert changed.name == f"{first.id}-changed"
    assert f"changed since version {first.id}: 1 added" in changed.told(str(screws))
    data.record("one more", "ada")
    (screws / "good" / "900.png").unlink()
    back = standing_of(read(str(screws)), str(screws))
    assert back is not None
    assert back.name == first.id


def _facts(screws: Path) -> Path:
    return next((screws / FOLDER / "versions").glob("*[0-9a-f].json"))


def test_a_version_that_was_changed_or_cut_is_refused_by_its_files_name(
    screws: Path, clock: ManualClock
) -> None:
    data = opened(screws, clock)
    data.record("as it came", "ada")
    facts = _facts(screws)
    whole = facts.read_text()
    facts.write_text(whole.replace("as it came", "as it was"))
    with pytest.raises(DataError, match=f"{facts.name} is not what its id promises"):
        data.store.versions()
    facts.write_text(whole[:-40])
    with pytest.raises(DataError, match=f"{facts.name} is no version that can be read"):
        data.store.versions()
    facts.write_text(whole)
    listing = facts.with_name(f"{facts.stem}.pictures.json.gz")
    listing.write_bytes(listing.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{listing.name} can't be read"):
        data.difference("latest", "now")
    listing.unlink()
    with pytest.raises(DataError, match="No such file"):
        data.difference("latest", "now")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [("ffffff", "no version begins with"), ("", "begin"), ("zz", "no version begins with")],
)
def test_a_version_that_is_not_there_is_refused_with_what_to_do(
    screws: Path, clock: ManualClock, wanted: str, told: str
) -> None:
    data = opened(screws, clock)
    with pytest.raises(DataError, match="has no version yet"):
        data.difference("latest", "now")
    data.record("as it came", "ada")
    with pytest.raises(DataError, match=told) as refused:
        data.difference(wanted, "now")
    assert "version list" in refused.value.fix


def test_a_set_without_files_of_its_own_has_no_versions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        VersionDesk(str(tmp_path / "nowhere"))


def test_where_nothing_can_be_written_the_folder_is_named(screws: Path, clock: ManualClock) -> None:
    (screws / FOLDER).write_text("a file in the way")
    with pytest.raises(DataError, match=r"versions can't be written \(Not a directory\)"):
        opened(screws, clock).record("as it came", "ada")


def test_versions_are_no_part_of_the_set_that_they_lie_beside(
    screws: Path, clock: ManualClock
) -> None:
    before = read(str(screws)).content_hash()
    opened(screws, clock).record("as it came", "ada")
    assert read(str(screws)).content_hash() == before
    assert json.loads(_facts(screws).read_text())["counts"]["blot"]
