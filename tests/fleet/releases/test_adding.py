"""What a release is made of."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.updates.patch import apply_patch
from fleet.releases.deltas import make_delta
from fleet.releases.release_builder import Adding, ReleaseNote
from shared.bundles.bundle import Bundle, amend_bundle, pack_bundle
from shared.bundles.manifest import TAIL
from shared.errors import BundleError, BundleMismatch, ReleaseError
from shared.releases import ReleaseFacts
from tests.fleet.releases.rigs import EVERYWHERE, Yard


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def packed(path: Path, raw: bytes) -> Path:
    path.write_bytes(zstandard.compress(raw))
    return path


def test_a_models_facts_come_from_its_manifest(yard: Yard) -> None:
    bundle = amend_bundle(
        yard.bundle(),
        {
            "training": yard.bundle().manifest.training.model_dump()
            | {"options": {"parent": "b0b", "round": 7}, "data_licence": "CC BY 4.0"}
        },
    )
    facts = yard.adding.add_model(bundle, EVERYWHERE)
    assert facts == ReleaseFacts(
        kind="model",
        name="tiny",
        version="1.0.0",
        counter=1,
        pair=bundle.manifest.pair,
        bundle=bundle.id,
        licence="CC BY 4.0",
        data_hash="0" * 64,
        parent="b0b",
        round=7,
        approved_by="A. Rossi",
    )
    said = ReleaseNote(("any",), parent="c0c", round=0)
    bundle = amend_bundle(bundle, {"version": "1.1.0"})
    facts = yard.adding.add_model(bundle, said)
    assert (facts.parent, facts.round) == ("c0c", 0)


def test_a_bundle_is_packed_to_the_same_bytes_wherever_it_lies(yard: Yard, tmp_path: Path) -> None:
    bundle = yard.bundle()
    one = pack_bundle(bundle, tmp_path / "one.zip")
    two = pack_bundle(one, tmp_path / "two.zip")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert (one.id, one.manifest) == (bundle.id, bundle.manifest)


def test_a_bundle_that_does_not_hold_together_is_not_added(yard: Yard) -> None:
    bundle = yard.bundle()
    (bundle.path / TAIL).write_bytes(b"something else")
    with pytest.raises(BundleMismatch):
        yard.adding.add_model(bundle, EVERYWHERE)
    assert yard.catalogue.entries() == []


@pytest.mark.parametrize("said", [{"why": "x" * 501}, {"approved_by": "x" * 101}])
def test_what_a_person_says_at_greater_length_than_is_kept_is_told_with_both_numbers(
    said: dict[str, str],
) -> None:
    with pytest.raises(ReleaseError, match=r"has (501|101) characters, and at most (500|100)"):
        ReleaseNote(("any",), **said)  # type: ignore[arg-type]


def test_a_reason_as_long_as_may_be_is_kept_whole(yard: Yard) -> None:
    facts = yard.add(word=ReleaseNote(("any",), why="x" * 500))
    assert yard.catalogue.entries()[0].facts.why == facts.why == "x" * 500


def test_counters_count_up_by_kind_and_name_and_are_never_given_twice(
    yard: Yard, tmp_path: Path
) -> None:
    file = packed(tmp_path / "app", b"app")
    assert yard.release("1.0.0").counter == 1
    assert yard.release("1.1.0").counter == 2
    assert yard.adding.add_file("app", file, "tiny", "1.0.0", EVERYWHERE).counter == 1
    yard.adding.remove("models/tiny/1.1.0.zip")
    yard.publish("models", "firmware")
    assert yard.add("1.2.0").counter == 3


def test_a_version_is_released_once(yard: Yard) -> None:
    yard.add()
    with pytest.raises(ReleaseError, match="exists already"):
        yard.add()


@pytest.mark.parametrize(
    ("name", "version", "what"),
    [("../evil", "1.0", "name"), ("", "1.0", "name"), ("agent", "latest", "version")],
)
def test_a_name_or_version_that_no_path_can_carry_is_refused(
    yard: Yard, tmp_path: Path, name: str, version: str, what: str
) -> None:
    with pytest.raises(ReleaseError, match=what):
        yard.adding.add_file("app", packed(tmp_path / "app", b"x"), name, version, EVERYWHERE)


def test_a_file_of_another_kind_is_refused(yard: Yard, tmp_path: Path) -> None:
    file = packed(tmp_path / "app", b"x")
    with pytest.raises(ReleaseError, match="is not a squashfs"):
        yard.adding.add_file("image", file, "box", "1.0", EVERYWHERE)
    (tmp_path / "plain").write_bytes(b"hsqs" + b"x" * 100)
    with pytest.raises(ReleaseError, match="is not a tar packed with zstd"):
        yard.adding.add_file("app", tmp_path / "plain", "agent", "1.0", EVERYWHERE)
    image = yard.adding.add_file("image", tmp_path / "plain", "box", "1.0", ReleaseNote(("arm64",)))
    assert (image.path, image.hardware) == ("firmware/image/box/1.0.sqfs", ("arm64",))
    with pytest.raises(ReleaseError, match="can't be read"):
        yard.adding.add_file("app", tmp_path / "none", "agent", "1.0", EVERYWHERE)


def test_patches_start_from_the_last_versions_and_make_the_new_one(yard: Yard) -> None:
    bases = [yard.release(f"1.{number}.0") for number in range(4)]
    facts = yard.release("2.0.0")
    entry = next(entry for entry in yard.catalogue.entries() if entry.path == facts.path)
    assert [delta.base for delta in entry.deltas] == ["1.3.0", "1.2.0", "1.1.0"]
    targets = yard.drafts.holder("models").signed.targets
    new = targets[facts.path]
    for base in bases[1:]:
        old = targets[base.path]
        patch = yard.store.payload(targets[facts.deltas[old.hashes["sha256"]]]).read_bytes()
        assert len(patch) < new.length / 10
        made = b"".join(apply_patch(yard.store.payload(old).read_bytes(), patch, new.length))
        assert hashlib.sha256(made).hexdigest() == new.hashes["sha256"]


def test_a_patch_that_saves_nothing_is_not_made(yard: Yard, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "image").write_bytes(b"hsqs" + os.urandom(5000))
        facts = yard.adding.add_file("image", tmp_path / "image", "box", f"{number}", EVERYWHERE)
    assert facts.deltas == {}


@settings(max_examples=40, deadline=None)
@given(old=st.binary(max_size=3000), edit=st.binary(max_size=50), place=st.integers(0, 3000))
def test_a_patch_makes_the_new_file_from_the_old(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, edit: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("delta")
    new = old[:place] + edit + old[place:]
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    delta = make_delta(folder / "old", folder / "new")
    if delta is None:
        assert len(new) < 3000
    else:
        assert b"".join(apply_patch(old, delta, len(new))) == new
        assert len(delta) < len(new)


def test_a_removed_release_goes_with_its_patches_but_its_payload_stays(yard: Yard) -> None:
    yard.release("1.0.0")
    gone = yard.release("1.1.0")
    yard.adding.remove(gone.path)
    assert [entry.stage for entry in yard.catalogue.entries()] == ["removed in draft", "published"]
    yard.publish("models")
    targets = yard.drafts.holder("models").signed.targets
    assert list(targets) == ["models/tiny/1.0.0.zip"]
    assert [model.release for model in yard.catalogue.models()] == ["models/tiny/1.0.0.zip", ""]
    with pytest.raises(ReleaseError, match="not among the releases"):
        yard.adding.remove(gone.path)


# Pairs


def test_a_model_whose_tail_nobody_has_is_not_published(yard: Yard) -> None:
    yard.add(without_tail=True)
    with pytest.raises(ReleaseError, match="holds no tail of its pair"):
        yard.publish("models")


def test_a_model_without_a_tail_is_published_where_the_cloud_has_it(yard: Yard) -> None:
    facts = yard.add(without_tail=True)
    yard.drafts.sign([yard.key("models")])
    assert yard.publisher.publish([facts.pair]) == ["models"]


def test_a_model_without_a_tail_is_published_beside_one_with_it(yard: Yard) -> None:
    yard.release("1.0.0")
    facts = yard.add("1.1.0", without_tail=True)
    assert yard.publish("models") == ["models"]
    whole, light = (m.path for m in yard.catalogue.models())
    assert light.stat().st_size < whole.stat().st_size
    with pytest.raises(BundleError):
        Bundle.open(light).read(TAIL)
    assert Bundle.open(light).id == facts.bundle


def test_more_versions_than_wanted_get_no_patch(yard: Yard) -> None:
    Adding(yard.drafts, deltas=0).add_model(yard.bundle("1.0.0"), EVERYWHERE)
    facts = Adding(yard.drafts, deltas=0).add_model(yard.bundle("1.1.0"), EVERYWHERE)
    assert facts.deltas == {}
