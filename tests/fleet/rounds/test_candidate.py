"""Rounds that end in a candidate bundle, with no picture outside any device."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
import pytest
from flwr.app import Message
from flwr.clientapp import ClientApp

from fleet.releases.creation import found_repository
from fleet.releases.evidence import lacking
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.approval import POLICY, approve, by_policy, drafts_of
from fleet.rounds.candidates.candidate import next_version
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.candidates.model_files import check_base
from fleet.rounds.configuration.settings import (
    LocalSettings,
    PromiseSettings,
    ReleaseSettings,
    RoundSettings,
    ScopeSettings,
)
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.report.findings import RunFindings
from fleet.rounds.run import run_rounds
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import HEAD, TAIL, TRAINED, TUNED
from shared.bundles.parity import check_head
from shared.clock import SystemClock
from shared.errors import FederationError, ReleaseError
from shared.features.preprocessing import prepare
from shared.federation.base_network import BaseNetwork
from shared.federation.flower_private import message_to_bytes
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import export_base
from tests.cloud.datasets.makers import save
from tests.fleet.rounds.plants import SIZE, Plant, lively_net, make_present, plant_apps
from tests.fleet.rounds.watching import Watch
from tests.support.commands import splitsight

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

NAMES = ("north", "south", "west")


class Recording(InProcessGrid):
    """Keeps every byte that leaves a device, as it would travel."""

    def __init__(self, apps: Mapping[str, ClientApp]) -> None:
        super().__init__(apps)
        self.left: list[tuple[str, bytes]] = []

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(super().pull_messages(message_ids))
        self.left += [(one.metadata.message_type, message_to_bytes(one)) for one in replies]
        return replies


class Present(NamedTuple):
    base: Path
    bundle: Bundle


class Ran(NamedTuple):
    findings: RunFindings
    store: CandidateStore
    left: list[tuple[str, bytes]]
    folder: Path
    plants: list[Plant]


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Present:
    return Present(*make_present(tmp_path_factory.mktemp("present")))


def run_among(
    plants: list[Plant],
    present: Present,
    folder: Path,
    *,
    rounds: int = 1,
    promise: PromiseSettings | None = None,
    **more: Any,
) -> Ran:
    release = ReleaseSettings(
        bundle=present.bundle.path,
        candidates=folder / "fleet/candidates",
        margin=0.9,
        promise=promise or PromiseSettings(escapes=0.4, overkill=0.4, system=0.9),
    )
    settings = RoundSettings(
        base=present.base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=8),
        local=LocalSettings(versions=1),
        release=release,
        **more,
    )
    grid = Recording(plant_apps(plants, present.base, folder / "devices"))
    base = BaseNetwork.read(present.base)
    coordinator = Coordinator(grid, settings, RunPlan(rounds), base)
    _, findings = run_rounds(coordinator)
    return Ran(findings, CandidateStore(release.candidates), grid.left, folder, plants)


@pytest.fixture(scope="module")
def ran(present: Present, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("ran")
    return run_among([Plant(name) for name in NAMES], present, folder, rounds=2)


def test_rounds_end_in_a_certified_bundle_that_waits_for_a_person(
    ran: Ran, present: Present
) -> None:
    findings, record = ran.findings, ran.store.get(ran.findings.name)
    assert (record.status, record.reasons, record.by) == ("candidate", [], "")
    bundle = ran.store.bundle(record.name)
    manifest = bundle.manifest
    assert (manifest.name, manifest.version) == ("blots", "1.4.1")
    assert bundle.read(HEAD) != present.bundle.read(HEAD)
    assert bundle.read(TAIL) == present.bundle.read(TAIL)
    check_head(bundle, open_runtime("onnx", bundle.read(HEAD)))
    assert np.array_equal(bundle.golden.inputs, present.bundle.golden.inputs)
    certificate = manifest.certificate
    assert certificate is not None
    assert (certificate.edge_escapes.parts, certificate.edge_overkill.parts) == (9, 9)
    assert certificate.edge_escapes.counted <= certificate.edge_escapes.parts * 0.4
    assert findings.certified
    assert certificate.gate == manifest.gate
    assert "threshold as it was they would reject" in record.doubt
    assert f"Look at this first: {record.doubt}." in findings.remarks


def test_edge_and_cloud_together_have_a_promise_of_their_own(ran: Ran, present: Present) -> None:
    manifest = ran.store.bundle(ran.findings.name).manifest
    certificate = manifest.certificate
    assert certificate is not None
    system = certificate.system
    assert system is not None, ran.findings.system
    assert (system.escapes.limit, system.escapes.parts, system.overkill.parts) == (0.9, 9, 9)
    assert system.escapes.seen <= system.escapes.counted <= 5
    assert (system.pair, system.cap_bytes) == (manifest.pair, manifest.features.cap_bytes)
    assert system.weights_compared == present.bundle.manifest.training.tail_weights
    assert manifest.gate.tail_weight == present.bundle.manifest.gate.tail_weight
    assert "at most 90 % pass edge and cloud together" in ran.findings.certificate
    assert ran.findings.system.startswith("at most 90 % of defective parts pass, seen in")
    megabytes = manifest.files[TAIL].bytes / 1e6
    assert ran.findings.system.endswith(f"the tail, {megabytes:.2f} MB, went to each device once")
    assert ran.findings.bytes_down > manifest.files[TAIL].bytes


def test_the_candidates_counts_are_those_of_its_own_files_on_the_devices_parts(ran: Ran) -> None:
    """Its bundle, given all pictures in one place, errs on as many parts as devices said."""
    bundle = ran.store.bundle(ran.findings.name)
    manifest = bundle.manifest
    gate, certificate = manifest.gate.gate, manifest.certificate
    assert certificate is not None
    assert certificate.system is not None
    head, tail = (open_runtime("onnx", bundle.read(name)) for name in (HEAD, TAIL))
    passed = rejected = 0
    for plant in ran.plants:
        for label, picture in zip(plant.index(), plant.pictures, strict=True):
            if label.use != "calibrate":
                continue
            features, _, score = head.run(prepare(picture, SIZE, SIZE, 1)[np.newaxis])
            symbols = bundle.codec.quantise(np.asarray(features[0], np.float32))
            sent = bundle.codec.encode_within(symbols, manifest.features.cap_bytes)
            arrived = bundle.codec.decode(*sent)
            deep = float(np.ravel(tail.run(arrived[np.newaxis])[1])[0])
            shallow = float(np.ravel(score)[0])
            verdict = gate.decide(shallow).value
            if verdict == "escalate":
                verdict = gate.conclude(gate.cloud_score(shallow, deep))
            passed += label.defective and verdict == "pass"
            rejected += not label.defective and verdict == "reject"
    assert passed == certificate.system.escapes.seen
    assert rejected == certificate.system.overkill.seen


def test_a_candidate_says_where_it_comes_from_and_lists_no_picture(
    ran: Ran, present: Present
) -> None:
    manifest = ran.store.bundle(ran.findings.name).manifest
    options = manifest.training.options
    assert (options["parent"], options["round"]) == (present.bundle.id, 2)
    assert options["participants"] == list(NAMES)
    assert not {TRAINED, TUNED} & set(manifest.files)


def test_the_report_compares_every_site_before_and_after(ran: Ran) -> None:
    sites = {site.device: site for site in ran.findings.sites}
    assert sorted(sites) == list(NAMES)
    for site in sites.values():
        assert site.rounds == 2
        assert site.compared is not None
        assert (site.compared.good, site.compared.defective) == (3, 3)
    after = ran.findings.after
    assert after is not None
    assert (after.good, after.defective) == (9, 9)
    singles = [site.compared.after for site in sites.values() if site.compared]
    assert after.escapes == sum(one.escapes for one in singles)
    assert after.overkill == sum(one.overkill for one in singles)


def test_the_report_is_one_page_and_one_file_for_programs(ran: Ran) -> None:
    page = (ran.folder / "run/report.html").read_text()
    told = json.loads((ran.folder / "run/report.json").read_text())
    assert told["name"] == ran.findings.name
    assert all(name in page for name in NAMES)
    assert "no picture, and no part's own score" in page
    assert "Edge and cloud together: at most 90 % of defective parts pass" in page
    assert told["system"] == ran.findings.system
    assert "src=" not in page
    assert "href=" not in page
    assert (ran.store.folder(ran.findings.name) / "report.html").read_text() == page


def test_what_the_server_saw_is_told_sums_as_sums(ran: Ran) -> None:
    seen = " ".join(ran.findings.seen)
    together = "edge and cloud together pass and reject"
    for what in ("second moments", "above each threshold", "symbol", "int8 moves", together):
        said = next(one for one in ran.findings.seen if what in one)
        assert said.endswith("summed over 3 devices")
    assert "the server sees the sum of 3 updates only" in seen
    assert ran.findings.bytes_up > 0


def test_nothing_that_leaves_a_device_is_a_picture_or_a_piece_of_one(ran: Ran) -> None:
    watch = Watch([picture for plant in ran.plants for picture in plant.pictures])
    kinds = {kind for kind, _ in ran.left}
    assert {"query", "train", "train.secure_mask", "evaluate.measure"} <= kinds
    assert sum(len(raw) for _, raw in ran.left) > 1_000_000
    for kind, raw in ran.left:
        assert watch.found(raw) == [], kind


Pack = Callable[[np.ndarray], bytes]


@pytest.mark.parametrize(
    "pack",
    [
        lambda p: cv2.imencode(".png", p)[1].tobytes(),
        lambda p: cv2.imencode(".jpg", p)[1].tobytes(),
        lambda p: p.tobytes()[3000:3100],
        lambda p: cv2.imencode(".bmp", p)[1].tobytes(),
        lambda p: zlib.compress(p.tobytes()),
        lambda p: zlib.compress(cv2.imencode(".png", p)[1].tobytes()),
    ],
    ids=["png", "jpeg", "pixels", "bitmap", "packed pixels", "packed png"],
)
def test_the_watch_finds_a_picture_among_other_bytes(pack: Pack) -> None:
    picture = Plant("north").pictures[3]
    around = np.random.default_rng(0).bytes(1001)
    assert Watch([picture]).found(around) == []
    assert Watch([picture]).found(around + pack(picture) + around)


def test_a_certificate_that_cannot_be_reached_is_told_and_the_candidate_comes_without_it(
    present: Present, tmp_path: Path
) -> None:
    """Two devices, too: their sums can't be hidden, and the report says so."""
    plants = [Plant("north"), Plant("south")]
    ran = run_among(plants, present, tmp_path, promise=PromiseSettings(escapes=0.02))
    assert ran.store.get(ran.findings.name).status == "candidate"
    assert not ran.findings.certified
    assert "6 defective parts are too few to promise" in ran.findings.certificate
    assert "149 (143 more) if none of them passes" in ran.findings.certificate
    assert "a target, no promise" in ran.findings.gate
    assert "no device was sent the tail" in ran.findings.system
    assert ran.store.bundle(ran.findings.name).manifest.certificate is None
    assert any("too few to hide each other" in one for one in ran.findings.seen)


def test_a_bundle_that_the_base_was_not_made_for_is_refused(
    present: Present, tmp_path: Path
) -> None:
    check_base(present.bundle, BaseNetwork.read(present.base))
    export_base(lively_net(seed=1), tmp_path / "other.npz")
    with pytest.raises(FederationError, match="base network's scores differ"):
        check_base(present.bundle, BaseNetwork.read(tmp_path / "other.npz"))
    read = BaseNetwork.read(present.base)
    wide = BaseNetwork(read.arrays, {**read.architecture, "width": 96}, read.sha256)
    with pytest.raises(FederationError, match="another architecture"):
        check_base(present.bundle, wide)


@pytest.mark.parametrize(("now", "then"), [("1", "1.0.1"), ("1.4", "1.4.1"), ("2.0.9", "2.0.10")])
def test_the_next_version_is_one_higher(now: str, then: str) -> None:
    assert next_version(now) == then


CONFIG = """\
base: {base}
folder: run
scope:
  from_block: 8
local:
  versions: 1
in_process:
  data: set/splits.csv
release:
  bundle: {bundle}
  margin: 0.9
"""


@pytest.mark.process
def test_the_command_ends_with_a_candidate_and_its_report(present: Present, tmp_path: Path) -> None:
    rows = ["image,defect,domain,part,split"]
    for plant in (Plant("north"), Plant("south")):
        for number, (label, picture) in enumerate(zip(plant.index(), plant.pictures, strict=True)):
            image = save(tmp_path / f"set/{plant.device}-{number}.png", picture)
            rows.append(f"{image.name},{label.kind},{plant.device},{label.part},{label.use}")
    (tmp_path / "set/splits.csv").write_text("\n".join(rows))
    config = tmp_path / "rounds.yaml"
    config.write_text(CONFIG.format(base=present.base, bundle=present.bundle.path))
    ended = splitsight("fleet", "federate", "--config", config, "--rounds", "1")
    assert ended.code == 0, ended.stderr
    (name,) = CandidateStore(tmp_path / "fleet/candidates").names()
    assert f"splitsight fleet candidate approve {name}" in ended.stdout.replace("\n", " ")
    assert "too few to promise" in ended.stdout
    assert (tmp_path / "run/report.html").exists()


def test_a_run_that_never_gets_enough_devices_says_so_in_its_report(
    present: Present, tmp_path: Path
) -> None:
    found = run_among([Plant("north")], present, tmp_path).findings
    assert found.reasons == ["no round has finished: 1 of at least 2 devices took part"]
    told = json.loads((tmp_path / "run/report.json").read_text())
    assert (told["reasons"], told["bundle"]) == (found.reasons, "")
    assert not (tmp_path / "fleet").exists()


class FleetFolder:
    """A fleet's folder with a candidate in its store."""

    def __init__(self, ran: Ran, folder: Path) -> None:
        self.name = ran.findings.name
        self.fleet, self.stick = folder / "fleet", folder / "stick"
        self.fleet.mkdir()
        shutil.copytree(ran.folder / "fleet/candidates", self.fleet / "candidates")
        found_repository(ReleaseStore(self.fleet), self.stick, SystemClock(), None)

    def run(self, command: str, *words: str | Path) -> Any:
        return splitsight("fleet", "candidate", command, *words, "--folder", self.fleet)


@pytest.fixture
def home(ran: Ran, tmp_path: Path) -> FleetFolder:
    return FleetFolder(ran, tmp_path)


@pytest.mark.process
def test_approval_makes_a_release_and_says_what_comes_next(home: FleetFolder) -> None:
    assert home.name in home.run("list").stdout
    shown = home.run("show", home.name).stdout
    assert "north" in shown
    assert "edge and cloud together: at most 90 % of defective parts pass" in shown
    assert "look at this first: edge and cloud together reject" in shown
    ended = home.run("approve", home.name, "--by", "A. Rossi", "--why", "a trial")
    assert ended.code == 0, ended.stderr
    assert "models/blots/1.4.1.zip" in ended.stdout
    assert "splitsight fleet rollout start models/blots/1.4.1.zip" in ended.stdout
    (row,) = json.loads(home.run("list", "--format", "json").stdout)
    assert (row["status"], row["by"]) == ("approved", "A. Rossi")
    again = home.run("approve", home.name, "--by", "B. Verdi")
    assert (again.code, "was approved by A. Rossi" in again.stderr) == (90, True)


@pytest.mark.process
def test_a_key_publishes_at_once(home: FleetFolder) -> None:
    key = home.stick / "models.pem"
    ended = home.run(
        "approve", home.name, "--by", "A. Rossi", "--key", key, "--why", "a trial",
        "--format", "json",
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "release": "models/blots/1.4.1.zip", "published": True, "rollout": None,
    }  # fmt: skip
    listed = splitsight("fleet", "release", "list", "--folder", home.fleet, "--format", "json")
    (release,) = json.loads(listed.stdout)["releases"]
    assert (release["stage"], release["approved_by"], release["round"]) == (
        "published", "A. Rossi", 2,
    )  # fmt: skip


def test_a_policy_approves_what_is_certified_and_nothing_else(ran: Ran, home: FleetFolder) -> None:
    store = CandidateStore(home.fleet / "candidates")
    # Its drawn tail rejects more good parts than before, which is for a person to see.
    record = msgspec.structs.replace(store.get(home.name), doubt="")
    release = ReleaseSettings(bundle=home.fleet, candidates=home.fleet / "candidates")
    assert by_policy(record, release) == ""
    certified = release.model_copy(update={"policy": "certified"})
    without = msgspec.structs.replace(record, certified=False)
    refused = msgspec.structs.replace(record, status="refused")
    assert by_policy(without, certified) == by_policy(refused, certified) == ""
    doubtful = msgspec.structs.replace(record, doubt="more good parts are rejected")
    assert by_policy(doubtful, certified) == ""
    assert store.get(home.name).status == "candidate"
    assert by_policy(record, certified) == "", "nobody knows what its features give away"
    measured(store.bundle(home.name))
    assert by_policy(record, certified) == "models/blots/1.4.1.zip"
    assert (store.get(home.name).status, store.get(home.name).by) == ("approved", POLICY)


def measured(bundle: Bundle) -> None:
    """As `splitsight cloud leakage` leaves a bundle."""
    nothing = {"coarseness": 1, "bytes_p50": 1.0, "psnr": 12.0, "ssim": 0.1, "accuracy": 0.5}
    found = {
        "pair": bundle.manifest.pair, "measured": "2026-11-30", "data": "blots",
        "data_hash": "0" * 64, "trained": 8, "tested": 4, "epochs": 1, "accuracy": 0.9,
        "nothing": nothing, "rates": [nothing],
    }  # fmt: skip
    amend_bundle(bundle, {"leakage": found})


def test_without_measurement_or_certificate_a_person_says_why(home: FleetFolder) -> None:
    store, drafts = CandidateStore(home.fleet / "candidates"), drafts_of(home.fleet)
    with pytest.raises(FederationError, match=r"never measured .*cloud leakage .*--why"):
        approve(store, home.name, "A. Rossi", drafts)
    assert store.get(home.name).status == "candidate"
    approve(store, home.name, "A. Rossi", drafts, "the line stands still without it")
    record = store.get(home.name)
    assert (record.status, record.why) == ("approved", "the line stands still without it")


def test_a_reason_that_is_too_long_is_told_so_before_anything_is_decided(
    home: FleetFolder,
) -> None:
    store, drafts = CandidateStore(home.fleet / "candidates"), drafts_of(home.fleet)
    with pytest.raises(ReleaseError, match="the reason has 501 characters, and at most 500"):
        approve(store, home.name, "A. Rossi", drafts, "x" * 501)
    assert store.get(home.name).status == "candidate"


def test_what_is_certified_and_measured_needs_a_name_alone(home: FleetFolder) -> None:
    store = CandidateStore(home.fleet / "candidates")
    bundle = store.bundle(home.name)
    assert lacking(bundle, certified=store.get(home.name).certified) == [
        "was never measured for what its features give away"
    ]
    measured(bundle)
    assert lacking(store.bundle(home.name), certified=True) == []
    assert lacking(store.bundle(home.name), certified=False) == ["has no certificate"]
    approve(store, home.name, "A. Rossi", drafts_of(home.fleet))
    assert store.get(home.name).why == ""


@pytest.mark.process
def test_what_was_rejected_stays_and_goes_nowhere(home: FleetFolder) -> None:
    assert home.run("reject", home.name, "--by", "A. Rossi").code == 0
    ended = home.run("approve", home.name, "--by", "A. Rossi")
    assert (ended.code, "was rejected by A. Rossi" in ended.stderr) == (90, True)


@pytest.mark.process
@pytest.mark.parametrize("words", [("unknown", "--by", "A"), ("../x", "--by", "A")])
def test_a_name_that_is_none_is_refused(home: FleetFolder, words: tuple[str, ...]) -> None:
    ended = home.run("approve", *words)
    assert ended.code == 90
    assert "Traceback" not in ended.stderr


@pytest.mark.process
def test_nobody_cannot_approve(home: FleetFolder) -> None:
    ended = home.run("approve", home.name, "--by", " ")
    assert (ended.code, "nobody decided" in ended.stderr) == (90, True)


@pytest.mark.process
def test_a_candidate_that_a_device_loses_by_may_not_go_out(ran: Ran, home: FleetFolder) -> None:
    store = CandidateStore(home.fleet / "candidates")
    record = ran.store.get(home.name)
    reasons = ["north: AUROC falls from 0.900 to 0.700"]
    changed = msgspec.structs.replace(record, status="refused", reasons=reasons)
    store.put(changed, ran.findings)
    ended = home.run("approve", home.name, "--by", "A. Rossi")
    assert (ended.code, "AUROC falls from 0.900 to 0.700" in ended.stderr) == (90, True)
