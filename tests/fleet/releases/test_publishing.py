"""Drafts, signatures, and what devices see of a publication."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from edge.updates.transfer.fetch import GatewayEndpoint
from edge.updates.trust.tuf_client import Trust
from fleet.releases.creation import found_repository
from fleet.releases.drafts import sign_copy
from fleet.releases.keys import load_key, make_key
from fleet.releases.publisher import Publisher
from fleet.releases.store import ReleaseStore
from shared.errors import ReleaseError
from tests.fleet.releases.mirror import files_of, mirror_of
from tests.fleet.releases.rigs import DAY, Yard

MODEL = "models/tiny/1.0.0.zip"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def standing(yard: Yard, role: str) -> tuple[int | None, int, int]:
    row = next(row for row in yard.drafts.standing() if row.role == role)
    return row.waiting, row.signed, row.threshold


# One writer at a time


def test_who_waits_for_another_writer_gives_up_and_says_why(yard: Yard) -> None:
    with yard.store.changing():
        begun = time.monotonic()
        with (
            pytest.raises(ReleaseError, match="another program has been changing"),
            yard.store.changing(0.2),
        ):
            pass
        assert time.monotonic() - begun < 10
    with yard.store.changing(0.2):
        pass


# Keys


def test_keys_are_readable_by_their_owner_only(yard: Yard) -> None:
    keys = [*yard.keys.iterdir(), *yard.store.keys.iterdir()]
    assert len(keys) == 8
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE(yard.keys.stat().st_mode) == 0o700


def test_a_key_opens_only_with_its_passphrase(tmp_path: Path) -> None:
    made = make_key(tmp_path / "a.pem", "correct horse")
    assert load_key(tmp_path / "a.pem", "correct horse").public_key == made.public_key
    with pytest.raises(ReleaseError, match="is encrypted"):
        load_key(tmp_path / "a.pem")
    with pytest.raises(ReleaseError, match="can't be opened"):
        load_key(tmp_path / "a.pem", "battery")


def test_a_key_is_never_written_over_another(yard: Yard) -> None:
    with pytest.raises(ReleaseError, match="holds a key already"):
        make_key(yard.keys / "root-1.pem")


def test_a_second_repository_is_not_made_over_the_first(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="holds releases already"):
        found_repository(yard.store, tmp_path / "other", yard.clock)


def test_no_key_of_people_lies_in_the_fleets_folder(yard: Yard) -> None:
    held = {load_key(path).public_key.keyid for path in yard.store.keys.glob("*.pem")}
    people = {load_key(path).public_key.keyid for path in yard.keys.glob("*.pem")}
    assert (len(held), len(people)) == (2, 6)
    assert not held & people


# Signatures


def test_what_is_not_signed_is_not_published(yard: Yard) -> None:
    yard.add()
    with pytest.raises(ReleaseError, match=r"models has 0 of 1 signatures"):
        yard.publisher.publish()
    assert yard.publish("models") == ["models"]
    with pytest.raises(ReleaseError, match="nothing waits"):
        yard.publisher.publish()


def test_a_key_that_may_sign_nothing_is_refused(yard: Yard) -> None:
    yard.add()
    with pytest.raises(ReleaseError, match="may sign nothing that waits"):
        yard.drafts.sign([yard.key("firmware")])


def test_what_is_changed_after_it_was_signed_has_to_be_signed_again(yard: Yard) -> None:
    yard.add()
    yard.drafts.sign([yard.key("models")])
    yard.add("1.1.0")
    assert standing(yard, "models") == (2, 0, 1)


def test_signatures_are_collected_one_by_one(yard: Yard) -> None:
    yard.drafts.renew("root")
    yard.drafts.sign([yard.key("root-1")])
    assert standing(yard, "root") == (2, 1, 2)
    with pytest.raises(ReleaseError, match="root has 1 of 2"):
        yard.publisher.publish()
    yard.clock.advance(30 * DAY)
    yard.drafts.sign([yard.key("root-3")])
    assert standing(yard, "root") == (2, 2, 2)
    assert yard.publisher.publish() == ["root"]


def test_a_half_signed_root_keeps_no_release_back(yard: Yard) -> None:
    yard.drafts.renew("root")
    yard.drafts.sign([yard.key("root-1")])
    yard.add()
    assert yard.publish("models") == ["models"]
    assert standing(yard, "root") == (2, 1, 2)


def test_a_draft_is_signed_where_the_key_is(yard: Yard, tmp_path: Path) -> None:
    yard.drafts.renew("root")
    copies = [tmp_path / name for name in ("milan.json", "turin.json")]
    for copy, key in zip(copies, ("root-1", "root-2"), strict=True):
        shutil.copy(yard.store.staged / "root.json", copy)
        sign_copy(copy, [yard.key(key)])
    assert [yard.drafts.merge(copy) for copy in copies] == ["root", "root"]
    assert yard.publisher.publish() == ["root"]


def test_a_copy_of_something_else_is_not_merged(yard: Yard, tmp_path: Path) -> None:
    yard.drafts.renew("root")
    copy = shutil.copy(yard.store.staged / "root.json", tmp_path / "copy.json")
    yard.clock.advance(5)
    yard.drafts.renew("root")
    sign_copy(Path(copy), [yard.key("root-1")])
    with pytest.raises(ReleaseError, match="not a copy of what waits here"):
        yard.drafts.merge(Path(copy))
    with pytest.raises(ReleaseError, match="is not a draft"):
        yard.drafts.merge(tmp_path / "nowhere.json")


def test_a_changed_delegation_waits_for_the_role_below_it(yard: Yard, tmp_path: Path) -> None:
    new = make_key(tmp_path / "models-2.pem")
    yard.drafts.rotate("models", yard.key("models").public_key.keyid[:8], new)
    yard.drafts.sign([yard.key("targets")])
    with pytest.raises(ReleaseError, match="models is not signed with its new keys"):
        yard.publisher.publish()
    yard.drafts.sign([new])
    assert yard.publisher.publish() == ["targets", "models"]


def test_a_key_that_a_role_has_not_got_is_not_rotated(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is not one key of models"):
        yard.drafts.rotate("models", "abc", make_key(tmp_path / "new.pem"))
    with pytest.raises(ReleaseError, match="is not a role"):
        yard.drafts.rotate("model", "abc", make_key(tmp_path / "newer.pem"))


def test_a_new_root_key_does_not_stand_in_for_an_old_one(yard: Yard, tmp_path: Path) -> None:
    new = make_key(tmp_path / "root-4.pem")
    yard.drafts.rotate("root", yard.key("root-2").public_key.keyid, new)
    yard.drafts.sign([yard.key("root-1"), new])
    assert standing(yard, "root") == (2, 1, 2)
    with pytest.raises(ReleaseError, match="root has 1 of 2"):
        yard.publisher.publish()
    assert yard.publish("root-2") == ["root"]


def test_online_keys_are_rotated_by_the_root(yard: Yard) -> None:
    old = yard.online("timestamp").public_key.keyid
    yard.drafts.rotate("timestamp", old, make_key(yard.store.keys / "timestamp-2.pem"))
    assert yard.publish("root-1", "root-2") == ["root"]
    stamp = Metadata[Any].from_file(str(yard.store.metadata / "timestamp.json"))
    assert list(stamp.signatures) != [old]
    with pytest.raises(ReleaseError, match="is signed again by the cloud"):
        yard.drafts.renew("timestamp")


def test_without_its_online_keys_nothing_is_signed(yard: Yard) -> None:
    (yard.store.keys / "timestamp-1.pem").unlink()
    with pytest.raises(ReleaseError, match="may sign timestamp"):
        yard.publisher.refresh()


# Time


def test_the_cloud_signs_again_at_half_of_a_life(yard: Yard) -> None:
    assert yard.publisher.refresh() == []
    yard.clock.advance(DAY / 2 - 1)
    assert yard.publisher.refresh() == []
    yard.clock.advance(1)
    assert yard.publisher.refresh() == ["timestamp"]
    yard.clock.advance(3 * DAY)
    assert yard.publisher.refresh() == ["snapshot", "timestamp"]


def test_roles_that_people_have_to_sign_soon_are_told(yard: Yard) -> None:
    assert yard.drafts.expiring(timedelta(days=14)) == []
    yard.clock.advance(80 * DAY)
    late = [row.role for row in yard.drafts.expiring(timedelta(days=14))]
    assert late == ["targets", "models", "firmware"]


def test_old_versions_are_swept_but_roots_stay(yard: Yard) -> None:
    yard.drafts.renew("root")
    yard.publish("root-1", "root-2")
    for _ in range(12):
        yard.drafts.renew("models")
        yard.publish("models")
    assert yard.store.versions("root") == [1, 2]
    assert yard.store.versions("models") == list(range(4, 14))


# What devices see in between


class Watched(ReleaseStore):
    """Keeps a copy of what a host serves after each file that is written."""

    def __init__(self, folder: Path, copies: Path) -> None:
        super().__init__(folder)
        self._copies = copies
        self.states: list[Path] = []

    def serve(self, role: str, metadata: Metadata[Any]) -> None:
        super().serve(role, metadata)
        self.states.append(self._copies / f"{len(self.states)}-{role}")
        shutil.copytree(self.metadata.parent, self.states[-1])


def test_whoever_reads_during_a_publication_finds_the_old_or_the_new(
    yard: Yard, tmp_path: Path
) -> None:
    yard.release()
    watched = Watched(yard.folder, tmp_path / "states")
    yard.add("1.1.0")
    yard.drafts.renew("root")
    yard.drafts.renew("targets")
    yard.drafts.sign([yard.key(name) for name in ("root-1", "root-2", "targets", "models")])
    with mirror_of(yard.folder / "repository") as mirror:
        Trust(tmp_path / "old", GatewayEndpoint(mirror.url), yard.root, yard.clock).find(MODEL)
        Publisher(watched, yard.clock).publish()
        assert [path.name.partition("-")[2] for path in watched.states] == [
            *("targets", "models", "snapshot", "root", "timestamp")
        ]
        newest = []
        for number, state in enumerate(watched.states):
            mirror.answer = files_of(state)
            folder = tmp_path / f"device-{number}"
            shutil.copytree(tmp_path / "old", folder, symlinks=True)
            for device in (folder, tmp_path / f"new-{number}"):
                trust = Trust(device, GatewayEndpoint(mirror.url), yard.root, yard.clock)
                assert trust.find(MODEL).facts.version == "1.0.0"
            newest.append(bool(trust.payload("models/tiny/1.1.0.zip")))
    assert newest == [False, False, False, False, True]


def test_a_publication_that_was_cut_off_is_made_again(yard: Yard, tmp_path: Path) -> None:
    class Cut(ReleaseStore):
        def serve(self, role: str, metadata: Metadata[Any]) -> None:
            if role == "timestamp":
                raise KeyboardInterrupt
            super().serve(role, metadata)

    yard.add()
    yard.drafts.sign([yard.key("models")])
    with pytest.raises(KeyboardInterrupt):
        Publisher(Cut(yard.folder), yard.clock).publish()
    assert [entry.stage for entry in yard.catalogue.entries()] == ["draft"]
    assert yard.publisher.publish() == ["models"]
    with mirror_of(yard.folder / "repository") as mirror:
        assert Trust(tmp_path / "device", GatewayEndpoint(mirror.url), yard.root, yard.clock).find(
            MODEL
        )


def test_a_mirror_that_takes_the_timestamp_first_and_places_it_last_is_always_whole(
    yard: Yard, tmp_path: Path
) -> None:
    yard.release()
    served, mirror_folder = yard.folder / "repository", tmp_path / "mirror"

    def copying() -> Iterator[None]:
        (mirror_folder / "metadata").mkdir(parents=True, exist_ok=True)
        taken = mirror_folder / "metadata" / "timestamp.new"
        shutil.copy(served / "metadata" / "timestamp.json", taken)
        yield
        for path in sorted(served.rglob("*.*")):
            if path.is_file() and path.name != "timestamp.json":
                place = mirror_folder / path.relative_to(served)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
                if path.name == "2.models.json":
                    yield
        taken.replace(mirror_folder / "metadata" / "timestamp.json")

    for number, _ in enumerate(copying()):
        yard.release(f"1.{number + 1}.0")
    with mirror_of(mirror_folder) as mirror:
        trust = Trust(tmp_path / "device", GatewayEndpoint(mirror.url), yard.root, yard.clock)
        assert trust.find(MODEL)
        assert trust.payload("models/tiny/1.1.0.zip") is None
