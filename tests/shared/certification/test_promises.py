"""A certificate in a bundle: what it says, what makes it void, and how it gets there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.bundles.cli import verification
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, MANIFEST, REQUIRED, TAIL, TRAINED
from shared.certification.promises import (
    Certificate,
    GateSpec,
    MeasuredShare,
    Promise,
    ReviewShares,
    SystemCertificate,
    describe,
    percent,
)
from shared.errors import BundleError
from tests.support.commands import ROOT, splitsight

GATE = GateSpec(pass_below=0.1, reject_from=0.9, cloud_reject_from=0.4, tail_weight=0.5)
SENTENCE = (
    "At most 1 % of defective parts pass at the edge, at most 2 % pass edge and cloud together, "
    "and at most 5 % of good parts are rejected at the edge; each with 95 % confidence, tested on "
    "300 defective and 600 good parts of tiles (2026-11-22)."
)


def certificate(bundle: Bundle) -> Certificate:
    """One that holds for a bundle, once it has GATE."""
    return Certificate(
        delta=0.05,
        edge_escapes=Promise(limit=0.01, seen=0, counted=0, parts=300),
        edge_overkill=Promise(limit=0.05, seen=20, counted=21, parts=600),
        system=SystemCertificate(
            escapes=Promise(limit=0.02, seen=0, counted=1, parts=300),
            overkill=MeasuredShare(seen=60, parts=600, low=0.077, high=0.127),
            pair=bundle.manifest.pair,
            cap_bytes=bundle.manifest.features.cap_bytes,
            weights_compared=1,
        ),
        head=bundle.manifest.files[HEAD].sha256,
        gate=GATE,
        runtime="onnx",
        data="tiles",
        data_hash="1" * 64,
        split="calibrate",
        pictures=900,
        method="a test",
        created="2026-11-22T10:00:00Z",
    )


@pytest.fixture
def certified(tiny: Bundle, tmp_path: Path) -> Bundle:
    changes = {"gate": GATE, "certificate": certificate(tiny)}
    return amend_bundle(tiny, changes, tmp_path / "certified")


def fields(bundle: Bundle, **changes: object) -> dict[str, object]:
    return bundle.manifest.model_dump(exclude={"files"}) | changes


def files(bundle: Bundle, **changes: bytes) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in bundle.manifest.files} | changes


@pytest.mark.parametrize("start", ["bundle", "bundle.zip"])
@pytest.mark.parametrize("end", ["bundle", "bundle.zip", "other", "other.zip"])
def test_a_bundle_gets_a_certificate_and_keeps_its_files(
    tiny: Bundle, tmp_path: Path, start: str, end: str
) -> None:
    before = write_bundle(tmp_path / start, fields(tiny), files(tiny))
    wanted = certificate(tiny)
    written = amend_bundle(before, {"gate": GATE, "certificate": wanted}, tmp_path / end)
    opened = Bundle.open(tmp_path / end)
    assert opened.manifest == written.manifest
    assert opened.manifest.certificate == wanted
    assert opened.manifest.gate == GATE
    assert opened.id == written.id != before.id
    assert opened.manifest.pair == before.manifest.pair
    assert files(opened) == files(tiny)
    assert {entry.name for entry in tmp_path.iterdir()} == {start, end}


def test_in_place_the_models_are_not_written_again(certified: Bundle) -> None:
    def written() -> dict[str, tuple[int, int]]:
        stats = {name: (certified.path / name).stat() for name in REQUIRED}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}

    before = written()
    amend_bundle(certified, {"version": "2.0.0"})
    assert written() == before
    opened = Bundle.open(certified.path)
    assert opened.manifest.version == "2.0.0"
    assert opened.manifest.certificate == certified.manifest.certificate
    assert {entry.name for entry in certified.path.iterdir()} == {MANIFEST, *REQUIRED}


def test_a_bundle_that_another_process_has_changed_is_not_amended(certified: Bundle) -> None:
    amend_bundle(Bundle.open(certified.path), {"version": "2.0.0"})
    with pytest.raises(BundleError, match="certified was changed meanwhile; run the command again"):
        amend_bundle(certified, {"version": "3.0.0"})
    assert Bundle.open(certified.path).manifest.version == "2.0.0"


def test_fields_that_cannot_be_leave_the_bundle_as_it_was(certified: Bundle) -> None:
    with pytest.raises(BundleError, match="version: "):
        amend_bundle(certified, {"version": "new"})
    assert Bundle.open(certified.path).id == certified.id


KILLED_WRITER = """
import resource, signal, sys
from pathlib import Path
from shared.bundles.bundle import Bundle, amend_bundle
bundle = Bundle.open(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))
amend_bundle(bundle, {"version": "2.0.0"})
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_kill_in_the_middle_leaves_the_bundle_as_it_was(
    certified: Bundle, tmp_path: Path, name: str
) -> None:
    before = write_bundle(tmp_path / name, fields(certified), files(certified))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, before.path], cwd=ROOT, check=False
    )
    assert ended.returncode == -signal.SIGXFSZ
    after = Bundle.open(before.path)
    assert after.id == before.id
    assert files(after) == files(before)
    assert amend_bundle(after, {"version": "3.0.0"}).manifest.version == "3.0.0"


def test_a_bundle_whose_head_changes_loses_its_certificate(
    certified: Bundle, tmp_path: Path
) -> None:
    changed = write_bundle(
        tmp_path / "changed", fields(certified), files(certified, **{HEAD: b"another"})
    )
    assert changed.manifest.certificate is None
    assert json.loads((changed.path / MANIFEST).read_text())["certificate"] is None


@pytest.mark.parametrize("name", [TAIL, CODEC])
def test_another_tail_ends_the_systems_promise_alone(
    certified: Bundle, tmp_path: Path, name: str
) -> None:
    changed = write_bundle(
        tmp_path / "changed", fields(certified), files(certified, **{name: b"another"})
    )
    left, whole = changed.manifest.certificate, certificate(certified)
    assert left == whole.model_copy(update={"system": None})


def test_other_golden_outputs_change_no_promise(certified: Bundle, tmp_path: Path) -> None:
    changed = write_bundle(
        tmp_path / "changed", fields(certified), files(certified, **{GOLDEN: b"another"})
    )
    assert changed.manifest.certificate == certificate(certified)


def edit(path: Path, section: str, **changes: object) -> None:
    """As somebody with a text editor would."""
    manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    manifest[section] |= changes
    (path / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["pass_below", "reject_from"])
def test_thresholds_that_somebody_moved_have_no_certificate(certified: Bundle, name: str) -> None:
    edit(certified.path, "gate", **{name: 0.5})
    opened = Bundle.open(certified.path)
    assert opened.manifest.certificate is None
    assert amend_bundle(opened, {"version": "2.0.0"}).manifest.certificate is None


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("gate", "cloud_reject_from", 0.41),
        ("gate", "tail_weight", 0.75),
        ("features", "cap_bytes", 100),
    ],
)
def test_what_the_cloud_does_otherwise_ends_the_systems_promise_alone(
    certified: Bundle, section: str, name: str, value: float
) -> None:
    edit(certified.path, section, **{name: value})
    left = Bundle.open(certified.path).manifest.certificate
    assert left is not None
    assert left.system is None
    assert left.edge_escapes == certificate(certified).edge_escapes


def test_a_manifest_that_lists_no_head_has_no_certificate(certified: Bundle) -> None:
    manifest = json.loads((certified.path / MANIFEST).read_text())
    del manifest["files"][HEAD]
    (certified.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=f"lists no {HEAD}"):
        Bundle.open(certified.path)


def test_a_certificate_is_one_plain_sentence(tiny: Bundle) -> None:
    whole = certificate(tiny)
    assert describe(whole) == SENTENCE
    assert describe(whole.model_copy(update={"system": None})) == (
        "At most 1 % of defective parts pass at the edge, and at most 5 % of good parts are "
        "rejected at the edge; of edge and cloud together nothing is promised; each with 95 % "
        "confidence, tested on 300 defective and 600 good parts of tiles (2026-11-22)."
    )
    assert describe(None) == "no certificate"


@pytest.mark.parametrize(
    ("share", "told"), [(0.05, "5 %"), (0.0351, "3.51 %"), (0.9995, "99.95 %"), (0.0, "0 %")]
)
def test_a_share_is_told_in_a_few_digits(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.process
def test_the_command_shows_the_promise(certified: Bundle) -> None:
    assert SENTENCE in splitsight("bundle", "show", certified.path).stdout
    edit(certified.path, "gate", pass_below=0.2)
    assert "no certificate" in splitsight("bundle", "show", certified.path).stdout
    told = json.loads(splitsight("bundle", "show", certified.path, "--format", "json").stdout)
    assert told["certificate"] is None


@pytest.mark.torch
def test_every_file_that_the_manifest_lists_is_verified(tiny: Bundle, tmp_path: Path) -> None:
    more = files(tiny) | {TRAINED: bytes(8)}
    whole = write_bundle(tmp_path / "whole", fields(tiny), more)
    (whole.path / TRAINED).write_bytes(bytes(16))
    rows = {row["check"]: row["ok"] for row in verification(whole)}
    assert rows[f"hash of {TRAINED}"] is False
    assert all(rows[f"hash of {name}"] for name in REQUIRED)


REVIEW_GATE = GateSpec(
    pass_below=0.1, reject_from=0.9, cloud_reject_from=0.6, tail_weight=0.5, cloud_pass_below=0.4
)


def whole(bundle: Bundle) -> Certificate:
    """A promise of the whole system, for a bundle that has REVIEW_GATE."""
    looked = MeasuredShare(seen=90, parts=900, low=0.08, high=0.12)
    return certificate(bundle).model_copy(
        update={
            "gate": REVIEW_GATE,
            "escape": 0.1,
            "false_reject": 0.05,
            "n_defects": 300,
            "n_good": 600,
            "review_share": 0.1,
            "review": ReviewShares(
                with_cloud=looked,
                without_cloud=looked,
                pass_below=0.1,
                reject_from=0.9,
                cost_with_cloud=0.1,
                cost_without_cloud=0.1,
            ),
        }
    )


def test_a_promise_of_the_whole_system_is_one_sentence(tiny: Bundle) -> None:
    assert describe(whole(tiny)) == (
        "At most 10 % of defective parts pass, and at most 5 % of good parts are rejected without "
        "a person; each with 95 % confidence, tested on 300 defective and 600 good parts of tiles "
        "(2026-11-22). Of those parts 10 % went to review."
    )


def test_another_tail_or_cloud_threshold_ends_it_and_leaves_what_the_edge_promises(
    tiny: Bundle, tmp_path: Path
) -> None:
    promised = whole(tiny)
    changes = {"format": 2, "gate": REVIEW_GATE, "certificate": promised}
    kept = amend_bundle(tiny, changes, tmp_path / "kept").manifest.certificate
    assert kept == promised
    moved = REVIEW_GATE.model_copy(update={"cloud_pass_below": 0.5})
    left = amend_bundle(tiny, changes | {"gate": moved}, tmp_path / "moved").manifest.certificate
    assert left is not None
    assert (left.escape, left.false_reject, left.review, left.system) == (None,) * 4
    assert describe(left).startswith("At most 1 % of defective parts pass at the edge, and at most")
