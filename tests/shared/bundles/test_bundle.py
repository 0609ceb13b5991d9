"""Bundles on disk."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.bundles.bundle import Bundle, Golden, amend_bundle, write_bundle
from shared.bundles.manifest import (
    CODEC,
    GOLDEN,
    HEAD,
    HEAD_FLOAT,
    MANIFEST,
    REQUIRED,
    TAIL,
    FeatureSpec,
)
from shared.errors import BundleError, BundleMismatch
from shared.features.pixel_settings import PixelSettings
from shared.wire import MAX_BODY
from tests.bundles import make_bundle

ROOT = Path(__file__).parents[3]


def fields(bundle: Bundle, **changes: object) -> dict[str, object]:
    """What `write_bundle` wants, from an existing bundle."""
    return bundle.manifest.model_dump(exclude={"files"}) | changes


def files(bundle: Bundle, **changes: bytes) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in REQUIRED} | changes


@pytest.fixture
def copy(tiny_path: Path, tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    return Path(shutil.copytree(tiny_path, tmp_path / "copy"))


def change_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["again", "again.zip", "new/folder/again", "new/folder/again.zip"])
def test_a_bundle_comes_back_as_it_was_written(tiny: Bundle, tmp_path: Path, name: str) -> None:
    written = write_bundle(tmp_path / name, fields(tiny), files(tiny))
    opened = Bundle.open(tmp_path / name)
    assert opened.manifest == written.manifest == tiny.manifest
    assert opened.id == written.id == tiny.id
    assert files(opened) == files(tiny)
    assert opened.size == sum(len(raw) for raw in files(tiny).values())
    assert [entry.name for entry in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_the_same_bundle_is_the_same_zip_to_the_byte(tiny: Bundle, tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    write_bundle(one, fields(tiny), files(tiny))
    write_bundle(two, fields(tiny), files(tiny))
    assert one.read_bytes() == two.read_bytes()


def test_the_golden_outputs_come_back(tiny: Bundle) -> None:
    again = Golden.from_bytes(
        tiny.golden.to_bytes(), tiny.manifest.input.shape, tiny.manifest.features.shape
    )
    np.testing.assert_array_equal(again.inputs, tiny.golden.inputs)
    np.testing.assert_array_equal(again.symbols, tiny.golden.symbols)
    np.testing.assert_array_equal(again.edge_scores, tiny.golden.edge_scores)
    np.testing.assert_array_equal(again.tail_scores, tiny.golden.tail_scores)
    assert again.payload == tiny.golden.payload


@pytest.mark.parametrize("name", REQUIRED)
def test_a_changed_byte_is_found_when_the_file_is_read(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    promised = Bundle.open(copy).manifest.files[name].sha256[:12]
    found = hashlib.sha256(raw).hexdigest()[:12]
    with pytest.raises(BundleMismatch, match=f"{name} has sha256 {found}….*says {promised}…"):
        Bundle.open(copy).read(name)


@pytest.mark.parametrize("name", [HEAD, TAIL, CODEC])
def test_a_file_that_is_not_there_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} can't be read"):
        Bundle.open(copy).read(name)


def test_a_file_that_the_manifest_does_not_list_is_named(copy: Path) -> None:
    change_manifest(copy, lambda manifest: manifest["files"].pop(TAIL))
    with pytest.raises(BundleError, match=f"lists no {TAIL}"):
        Bundle.open(copy)
    with pytest.raises(BundleError, match="has no secret"):
        Bundle.open(make_bundle(copy.parent / "whole").path).read("secret")


def test_wrong_fields_of_a_manifest_are_told_all_at_once(copy: Path) -> None:
    change_manifest(
        copy,
        lambda manifest: manifest.update(
            name="a b", version="x", input={"height": 0, "width": 64, "channels": 2}, extra=1
        ),
    )
    with pytest.raises(BundleError) as caught:
        Bundle.open(copy)
    for place in ("name:", "version:", "input.height:", "input.channels:", "extra:"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("height", "width", "cap"), [(14, 14, 4096), (20, 20, 8359), (1, 1, 64), (1024, 1024, MAX_BODY)]
)
def test_a_bundle_that_states_no_cap_has_one_that_fits_its_size(
    height: int, width: int, cap: int
) -> None:
    spec = {"channels": 16, "height": height, "width": width}
    assert FeatureSpec.model_validate(spec).cap_bytes == cap
    assert FeatureSpec.model_validate(spec | {"cap_bytes": 999}).cap_bytes == 999


@pytest.mark.parametrize("cap", [0, 63, MAX_BODY + 1, -1])
def test_a_cap_that_nothing_fits_in_or_no_message_carries_is_refused(copy: Path, cap: int) -> None:
    change_manifest(copy, lambda manifest: manifest["features"].update(cap_bytes=cap))
    with pytest.raises(BundleError, match=r"features\.cap_bytes"):
        Bundle.open(copy)


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[]", b'{"format": 2}', b"{"])
def test_a_manifest_that_is_none_is_a_bundle_error(copy: Path, raw: bytes) -> None:
    (copy / MANIFEST).write_bytes(raw)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.zip").write_text("words")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("empty", "words.zip", "other.zip", "nowhere"):
        with pytest.raises(BundleError, match=f"{name} is not a bundle"):
            Bundle.open(tmp_path / name)


def test_a_damaged_zip_is_a_bundle_error_or_reads_right(tiny: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "tiny.zip"
    write_bundle(path, fields(tiny), files(tiny))
    whole, chance = path.read_bytes(), random.Random(0)  # noqa: S311 - damage, not secrets
    refused = 0
    for turn in range(150):
        raw = bytearray(whole)
        if turn % 3 == 0:
            del raw[chance.randrange(len(raw)) :]
        # The directory lies at the end: that is where zipfile has most to stumble over.
        first = len(raw) - 700 if turn % 3 == 1 else 0
        for _ in range(turn % 5 + 1):
            if raw:
                raw[chance.randrange(max(0, first), len(raw))] = chance.randrange(256)
        path.write_bytes(raw)
        try:
            found = files(Bundle.open(path))
        except BundleError:
            refused += 1
        else:
            assert found == files(tiny)
    assert refused > 100


def test_the_pair_follows_the_models_and_the_codec_alone(tiny: Bundle, tmp_path: Path) -> None:
    def pair(**changes: bytes) -> str:
        changed = write_bundle(tmp_path / "changed", fields(tiny), files(tiny, **changes))
        return changed.manifest.pair

    assert pair() == tiny.manifest.pair
    assert pair(**{GOLDEN: b"other", HEAD_FLOAT: b"other"}) == tiny.manifest.pair
    others = {pair(**{name: b"other"}) for name in (HEAD, TAIL, CODEC)}
    assert len(others | {tiny.manifest.pair}) == 4


KILLED_WRITER = """
import resource, signal, sys
from pathlib import Path
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import REQUIRED
old = Bundle.open(Path(sys.argv[1]))
fields = old.manifest.model_dump(exclude={"files"}) | {"version": "2.0.0"}
files = {name: old.read(name) for name in REQUIRED}
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write_bundle(Path(sys.argv[1]), fields, files)
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_writer_killed_in_the_middle_leaves_the_old_bundle(
    tiny: Bundle, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    write_bundle(path, fields(tiny), files(tiny))
    ended = subprocess.run([sys.executable, "-c", KILLED_WRITER, path], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGXFSZ
    assert (tmp_path / f"{name}.partial").exists()
    assert Bundle.open(path).manifest.version == "1.0.0"
    assert files(Bundle.open(path)) == files(tiny)


def test_what_killed_writers_left_is_in_nobodys_way(tiny: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    for left in (path, tmp_path / "bundle.partial", tmp_path / "bundle.old"):
        left.mkdir()
        (left / "stale").write_text("stale")
    write_bundle(path, fields(tiny), files(tiny))
    assert files(Bundle.open(path)) == files(tiny)
    assert {file.name for file in path.iterdir()} == {MANIFEST, *REQUIRED}
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_a_manifest_that_could_not_be_read_is_never_written(tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="name: "):
        write_bundle(tmp_path / "bundle", fields(tiny, name="my pictures"), files(tiny))
    assert not list(tmp_path.iterdir())


def archive(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def lone_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"words",
        lone_array(),
        archive(inputs=np.zeros(3)),
        archive(inputs=np.array([{"a": 1}], dtype=object)),
        archive(inputs=np.zeros(3))[:-9],
    ],
)
def test_golden_outputs_that_lack_something_are_a_bundle_error(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"golden\.npz (can't be read|holds no)"):
        Golden.from_bytes(raw, (1, 8, 8), (1, 2, 2))


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b", ".hidden", "..", "a\\b"])
def test_a_manifest_whose_files_lead_elsewhere_is_no_bundle(copy: Path, name: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    change_manifest(copy, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(BundleError, match="files"):
        Bundle.open(copy)


def test_a_bundle_is_never_written_outside_of_its_folder(tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be written"):
        write_bundle(tmp_path / "in" / "b", fields(tiny), files(tiny) | {"../../out": b"x"})
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_bundle_is_not_followed(copy: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (copy / TAIL).rename(elsewhere)
    (copy / TAIL).symlink_to(elsewhere)
    with pytest.raises(BundleError, match="links are not followed"):
        Bundle.open(copy).read(TAIL)


def test_a_file_larger_than_promised_is_not_read(copy: Path) -> None:
    with (copy / TAIL).open("ab") as stream:
        stream.truncate(1 << 34)
    with pytest.raises(BundleMismatch, match="has 17179869184 B"):
        Bundle.open(copy).read(TAIL)


def test_settings_of_pixels_lie_in_a_bundle_and_no_word_of_them_where_there_are_none(
    tmp_path: Path,
) -> None:
    plain = make_bundle(tmp_path / "plain")
    assert "pixels" not in json.loads((plain.path / MANIFEST).read_text())["input"]
    spec = plain.manifest.input.model_dump() | {"pixels": {"depth": 12, "turn": 90}}
    said = amend_bundle(plain, {"input": spec}, tmp_path / "said")
    assert said.manifest.input.pixels == PixelSettings(depth=12, turn=90)
    assert said.manifest.pair == plain.manifest.pair
    assert Bundle.open(tmp_path / "said").manifest.input == said.manifest.input
    # What they do is another bundle's, though the network is the same.
    assert said.id != plain.id
