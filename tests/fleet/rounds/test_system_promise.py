"""What edge and cloud together promise, from counts: as one place with all the pictures would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from cloud.datasets.fingerprints import fingerprints
from cloud.datasets.readers import read
from cloud.evaluation.certification import JudgedParts
from cloud.evaluation.judgements import judge
from edge.learner.client_app import client_app
from edge.learner.device import LearningDevice
from edge.learner.folder import PictureFiles, read_domains
from edge.learner.local_state import LocalState
from edge.learning.labelled_parts import LabelledPicture
from fleet.rounds.candidates.certification import CandidateGate, choose_gate
from fleet.rounds.candidates.system_promise import CandidateHalves
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import PromiseSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.messaging import GridMessaging
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import CODEC, HEAD, TAIL, TRAINED
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.promises import GateSpec, MeasuredShare, Promise
from shared.certification.scores import Scored
from shared.errors import DataError
from shared.federation.base_network import BaseNetwork
from shared.federation.parcels import MOST
from shared.federation.protocol import node_of
from shared.wire import MAX_PAYLOAD
from tests.bundles import make_bundle
from tests.cloud.datasets.makers import save
from tests.fleet.rounds.mqtt_rig import Plant
from tests.fleet.rounds.watching import Watch
from tests.shared.certification.one_place import choose

pytestmark = pytest.mark.torch

SITES = ("east", "north", "south", "west")
PARTS = 66
"""Of each kind; every third has a second picture."""
PROMISE = PromiseSettings(escapes=0.08, overkill=0.1, system=0.2, delta=0.1)
WEIGHT = 0.6
BASE = BaseNetwork(
    {"head.map_head.whole.weight": np.zeros(3, np.float32)},
    {"height": 64, "width": 64, "channels": 1},
    "b" * 64,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of three sites, whose heads' scores overlap and whose tails' are no better."""
    folder = tmp_path_factory.mktemp("promising")
    rng = np.random.default_rng(7)
    rows = ["image,defect,part,domain,split"]
    for kind, middle in (("good", 112), ("crack", 146)):
        for number in range(PARTS):
            for turn in range(1 + (number % 3 == 0)):
                shade = rng.normal(middle, 14)
                picture = rng.normal(shade, 12, (64, 64)).clip(0, 255).astype(np.uint8)
                image = save(folder / f"{kind}-{number}-{turn}.png", picture)
                site = SITES[number % len(SITES)]
                rows.append(f"{image.name},{kind},{kind}-{number},{site},calibrate")
    (folder / "parts.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """Trained on none of these parts; both halves' scores are weighed."""
    tiny = make_bundle(folder / "tiny")
    fields = tiny.manifest.model_dump(exclude={"files"})
    fields["gate"]["tail_weight"] = WEIGHT
    files = {name: tiny.read(name) for name in tiny.manifest.files} | {TRAINED: fingerprints([])}
    return write_bundle(folder / "bundle", fields, files)


@pytest.fixture(scope="module")
def apps(folder: Path) -> dict[str, ClientApp]:
    return {
        name: client_app(LearningDevice(parts, BASE, LocalState(folder / "state" / name)))
        for name, parts in read_domains(folder / "parts.csv").items()
    }


class Central(NamedTuple):
    """What one place with all the pictures finds."""

    gate: GateSpec
    edge_escapes: Promise
    edge_overkill: Promise
    escapes: Promise
    overkill: MeasuredShare


@pytest.fixture(scope="module")
def central(folder: Path, bundle: Bundle) -> Central:
    dataset, limits = read(str(folder / "parts.csv")).of("calibrate"), PROMISE.limits
    parts = JudgedParts.of(dataset, judge(bundle, dataset, "onnx"))
    defective, good = parts.defective, parts.good
    chosen = choose(
        defective, good, limits, bundle.manifest.gate.gate, bundle.manifest.training.tail_weights
    )
    assert chosen is not None
    assert chosen.system is not None
    gate = chosen.gate

    def promise(limit: float, seen: int, counted: int, among: Scored) -> Promise:
        return Promise(limit=limit, seen=seen, counted=counted, parts=among.parts)

    rejected = good.rejected(gate, with_cloud=True)
    low, high = interval(rejected, good.parts, limits.delta)
    at_edge = defective.passed(gate, with_cloud=False), good.rejected(gate, with_cloud=False)
    together = defective.passed(gate, with_cloud=True)
    return Central(
        GateSpec(**asdict(gate)),
        promise(limits.escapes, at_edge[0], chosen.escapes.counted, defective),
        promise(limits.overkill, at_edge[1], chosen.overkill.counted, good),
        promise(limits.system, together, chosen.system.counted, defective),
        MeasuredShare(seen=rejected, parts=good.parts, low=low, high=high),
    )


def halves_of(bundle: Bundle) -> CandidateHalves:
    manifest = bundle.manifest
    return CandidateHalves(
        bundle.read(HEAD),
        bundle.read(TAIL),
        bundle.read(CODEC),
        manifest.features,
        manifest.training.tail_weights,
    )


@dataclass
class Asked:
    answers: DeviceAnswers
    gated: CandidateGate


def ask(
    apps: Mapping[str, ClientApp],
    bundle: Bundle,
    *,
    halves: CandidateHalves | None = None,
    promise: PromiseSettings = PROMISE,
    secure: bool = True,
    post: GridMessaging | None = None,
    before: Gate | None = None,
) -> Asked:
    answers = DeviceAnswers(
        post or GridMessaging(InProcessGrid(apps)),
        PrivacySettings(secure_aggregation=secure),
        {node_of(name): name for name in apps},
        30.0,
        np.zeros(0, np.float16),
    )
    gated = choose_gate(
        answers,
        halves or halves_of(bundle),
        before or bundle.manifest.gate.gate,
        promise,
        created="2026-11-26T00:00:00Z",
        run="r" * 32,
    )
    return Asked(answers, gated)


@pytest.mark.parametrize("secure", [True, False])
def test_devices_certify_the_very_gate_that_their_pictures_in_one_place_would(
    apps: Mapping[str, ClientApp], bundle: Bundle, central: Central, secure: bool
) -> None:
    asked = ask(apps, bundle, secure=secure)
    found, wanted = asked.gated.certificate, central
    assert found is not None
    assert found.system is not None
    assert (found.system.escapes, found.system.overkill) == (wanted.escapes, wanted.overkill)
    assert found.gate == wanted.gate
    assert (found.edge_escapes, found.edge_overkill) == (wanted.edge_escapes, wanted.edge_overkill)
    assert (found.system.pair, found.system.weights_compared) == (bundle.manifest.pair, 4)
    # The case is one in which the tail has something to say.
    assert wanted.escapes.seen > wanted.edge_escapes.seen
    assert wanted.gate.cloud_reject_from != bundle.manifest.gate.cloud_reject_from
    assert asked.gated.origin == "certified"
    assert asked.gated.system.startswith("at most 20 % of defective parts pass, seen in")
    off = "of each of 4 devices (secure aggregation is off)"
    how = "summed over 4 devices" if secure else off
    assert asked.answers.seen[-1].endswith(how)


def test_where_a_person_reviews_the_cloud_rejects_no_more_than_before(
    apps: Mapping[str, ClientApp], bundle: Bundle, central: Central
) -> None:
    before = replace(bundle.manifest.gate.gate, cloud_pass_below=0.1, cloud_reject_from=0.95)
    gate = ask(apps, bundle, before=before).gated.gate
    # What passes is what was tested, and what lies between is still a person's.
    assert gate.cloud_pass_below == central.gate.cloud_reject_from
    assert gate.cloud_reject_from == 0.95


@pytest.mark.parametrize(("cloud_reject_from", "doubted"), [(1.0, True), (0.0, False)])
def test_a_person_is_to_look_where_more_good_parts_are_rejected_than_before(
    apps: Mapping[str, ClientApp], bundle: Bundle, cloud_reject_from: float, doubted: bool
) -> None:
    before = replace(bundle.manifest.gate.gate, cloud_reject_from=cloud_reject_from)
    doubt = ask(apps, bundle, before=before).gated.doubt
    assert ("threshold as it was they would reject" in doubt) == doubted


def test_a_manifest_of_these_files_keeps_the_systems_promise(
    apps: Mapping[str, ClientApp], bundle: Bundle, tmp_path: Path
) -> None:
    certificate = ask(apps, bundle).gated.certificate
    assert certificate is not None
    fields = bundle.manifest.model_dump(exclude={"files"})
    fields |= {"gate": certificate.gate, "certificate": certificate}
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    written = write_bundle(tmp_path / "written", fields, files)
    assert written.manifest.certificate == certificate


def test_the_tail_goes_to_each_device_once_and_the_report_says_how_large_it_is(
    apps: Mapping[str, ClientApp], bundle: Bundle
) -> None:
    small = halves_of(bundle)
    large = padded(small)
    lean, laden = (ask(apps, bundle, halves=one) for one in (small, large))
    assert laden.gated.certificate is not None
    assert laden.gated.certificate.system is not None
    for node in laden.answers.names:
        more = laden.answers.messaging.bytes_down[node] - lean.answers.messaging.bytes_down[node]
        assert more == pytest.approx(len(large.tail) - len(small.tail), abs=100)
    assert laden.gated.system.endswith("the tail, 0.40 MB, went to each device once")


def padded(halves: CandidateHalves) -> CandidateHalves:
    """With a large tail: after the model bytes that no runtime reads, a field unknown to ONNX."""
    size, length = 400_000, b""
    while size:
        size, low = size >> 7, size & 0x7F
        length += bytes([low | 0x80 if size else low])
    return replace(halves, tail=halves.tail + b"\xfa\xff\x01" + length + bytes(400_000))


def test_the_tail_travels_over_the_fleets_mqtt_in_pieces_and_no_picture_comes_back(
    apps: Mapping[str, ClientApp], bundle: Bundle, central: Central, folder: Path, tmp_path: Path
) -> None:
    plant = Plant(tmp_path, dict(apps))
    post = GridMessaging(plant.grid, clock=plant.clock, sleep=lambda _seconds: plant.move(0.5))
    large = padded(halves_of(bundle))
    asked = ask(apps, bundle, halves=large, post=post)
    certificate, wanted = asked.gated.certificate, central
    assert certificate is not None
    assert certificate.system is not None
    assert certificate.system.escapes == wanted.escapes
    assert certificate.gate == wanted.gate
    assert max(len(one.payload) for one in plant.broker.published) <= MAX_PAYLOAD
    for down, _ in plant.grid.traffic().values():
        assert len(large.tail) < down < 1.5 * len(large.tail)
    pictures = [cv2.imread(str(one), cv2.IMREAD_GRAYSCALE) for one in folder.glob("*.png")]
    watch = Watch([np.asarray(one, np.uint8) for one in pictures])
    up = (one for one in plant.broker.published if one.topic.endswith("/answer"))
    back = b"".join(one.payload for one in up)
    assert len(back) > 100_000
    assert watch.found(back) == []


def only_the_edge(asked: Asked, bundle: Bundle) -> str:
    """What is told of the system, where the edge alone has a promise."""
    certificate = asked.gated.certificate
    assert certificate is not None
    assert certificate.system is None
    assert certificate.gate.cloud_reject_from == bundle.manifest.gate.cloud_reject_from
    assert "of edge and cloud together nothing is promised" in asked.gated.statement
    assert asked.gated.origin == "the edge's certified, the cloud's as in the present bundle"
    return asked.gated.system


def test_too_low_a_limit_is_told_with_what_could_be_promised_before_the_tail_is_sent(
    apps: Mapping[str, ClientApp], bundle: Bundle
) -> None:
    low = PROMISE.model_copy(update={"system": 0.081})
    asked = ask(apps, bundle, promise=low)
    told = only_the_edge(asked, bundle)
    assert told.startswith(f"nothing is promised: {PARTS} defective parts can't show that at most")
    assert told.endswith("could be promised; no device was sent the tail")
    assert len(asked.answers.seen) == 1
    supported = float(told.split("release.promise.system ")[1].split()[0])
    again = ask(apps, bundle, promise=low.model_copy(update={"system": supported}))
    assert again.gated.certificate is not None
    assert again.gated.certificate.system is not None


def test_a_tail_that_is_too_large_to_be_sent_is_not(
    apps: Mapping[str, ClientApp], bundle: Bundle
) -> None:
    large = replace(halves_of(bundle), tail=bytes(MOST["order"]))
    asked = ask(apps, bundle, halves=large)
    told = only_the_edge(asked, bundle)
    assert "the tail has 50.3 MB" in told
    assert told.endswith("more than can be sent to a device; no device was sent the tail")
    assert max(asked.answers.messaging.bytes_down.values()) < 1_000_000


class Leaving:
    """Parts of which one is lost once a question has been answered: whole, or its picture only."""

    def __init__(self, parts: PictureFiles, *, whole: bool) -> None:
        self._parts = parts
        self._whole = whole
        self._asked = 0

    @property
    def device(self) -> str:
        return self._parts.device

    def index(self) -> Sequence[LabelledPicture]:
        self._asked += 1
        labels = self._parts.index()
        return labels[:-1] if self._whole and self._asked > 1 else labels

    def picture(self, place: int) -> NDArray[np.uint8]:
        if not self._whole and self._asked > 1:
            raise DataError("the picture of this part is gone")
        return self._parts.picture(place)

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        return self._parts.mask(place)


@pytest.mark.parametrize("secure", [True, False])
def test_a_device_that_can_not_answer_leaves_the_edges_promise(
    folder: Path, apps: Mapping[str, ClientApp], bundle: Bundle, secure: bool
) -> None:
    asked = ask({**apps, "north": leaving(folder, whole=False)}, bundle, secure=secure)
    told = only_the_edge(asked, bundle)
    assert told.startswith("nothing is promised: without counts of north with the tail; the tail")
    (aside,) = asked.answers.aside
    assert aside.device == "north"
    assert aside.reason == "system: it can't answer (the picture of this part is gone)"


def test_counts_of_other_parts_than_before_promise_nothing(
    folder: Path, apps: Mapping[str, ClientApp], bundle: Bundle
) -> None:
    asked = ask({**apps, "north": leaving(folder, whole=True)}, bundle)
    told = only_the_edge(asked, bundle)
    assert told.startswith("nothing is promised: the devices have counted other parts with the")


def leaving(folder: Path, *, whole: bool) -> ClientApp:
    parts = Leaving(read_domains(folder / "parts.csv")["north"], whole=whole)
    return client_app(LearningDevice(parts, BASE, LocalState(folder / "state/leaving")))


@pytest.mark.parametrize("secure", [True, False])
def test_a_tail_that_no_device_can_run_leaves_the_edges_promise(
    apps: Mapping[str, ClientApp], bundle: Bundle, secure: bool
) -> None:
    bad = replace(halves_of(bundle), tail=b"no model at all")
    asked = ask(apps, bundle, halves=bad, secure=secure)
    told = only_the_edge(asked, bundle)
    assert told.startswith("nothing is promised: ")
    assert {one.device for one in asked.answers.aside} == set(SITES)
    for one in asked.answers.aside:
        assert one.reason.startswith("system: ")
        assert "onnx can't run this model" in one.reason
