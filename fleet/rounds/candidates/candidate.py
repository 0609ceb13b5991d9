"""The rounds' result → a candidate bundle: calibrated, certified and compared without a picture."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from fleet.rounds.candidates import comparison as evaluation
from fleet.rounds.candidates.calibration import FleetSeen
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.candidates.certification import Gated, choose_gate, spec_of
from fleet.rounds.candidates.comparison import Compared
from fleet.rounds.candidates.run_findings import NEVER_CHOSEN, now, told_by_rounds
from fleet.rounds.candidates.system_promise import CandidateHalves
from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.coordination.coordinator import Coordinator
from fleet.rounds.coordination.questioning import Questioning
from fleet.rounds.report.findings import Record, RunFindings
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.golden import golden_outputs
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.bundles.parity import check_codec, check_head, check_quantisation, check_tail
from shared.errors import FederationError, SplitsightError
from shared.features.codec import CodecTables, FeatureCodec
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import TrainOrder
from shared.federation.questions import Comparison
from shared.log import get_logger
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import restore
from shared.splitnet.export import export_head, export_tail, int8_head, with_weights
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.network import SplitNet

log = get_logger("rounds")

SAME = 0.02
BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Made:
    """The candidate's files, before its gate is chosen."""

    head: bytes
    head_float: bytes
    tail: bytes
    tables: CodecTables


def check_base(bundle: Bundle, base: BaseNetwork) -> None:
    """Raises FederationError where the bundle was not made from this base network."""
    told = dict(bundle.manifest.architecture)
    if any(base.architecture.get(name) != value for name, value in told.items()):
        raise FederationError(
            f"{bundle.path.name} has another architecture than the base network",
            fix="give the bundle and the base of one training",
        )
    head = DeployedHead(restore(base).head).eval()
    with torch.no_grad():
        found = head(torch.from_numpy(bundle.golden.inputs))[2].numpy().ravel()
    apart = float(np.abs(found - bundle.golden.float_scores).max())
    if not apart <= SAME:
        raise FederationError(
            f"the base network's scores differ from {bundle.path.name}'s by {apart:.3f}",
            fix="write the base of the bundle's own training: `splitsight cloud base --run RUN`",
        )


def make_candidate(
    coordinator: Coordinator, release: ReleaseSettings
) -> tuple[Record, RunFindings]:
    """Ask the devices, write the bundle and the report, and put both on the shelf.

    What stands against the candidate is told in its record; only what makes a report impossible
    is raised: FederationError where no device is there or the candidate was decided on already,
    BundleError for a bundle that is none.
    """
    started = coordinator.clock.monotonic()
    present = Bundle.open(release.bundle)
    check_base(present, coordinator.base)
    asking = coordinator.asking()
    made = _Attempt(coordinator, release, present, asking)
    try:
        made.build()
    except SplitsightError as error:
        log.warning("candidate_failed", reason=error.message)
        made.reasons.append(error.message)
    seconds = coordinator.clock.monotonic() - started
    return made.shelve(seconds)


class _Attempt:
    """One candidate in the making: what is known of it so far."""

    def __init__(
        self,
        coordinator: Coordinator,
        release: ReleaseSettings,
        present: Bundle,
        asking: Questioning,
    ) -> None:
        self._coordinator = coordinator
        self._release = release
        self._present = present
        self._asking = asking
        self._created = now()
        self._terms = coordinator.progress.terms
        self._version = release.version or next_version(present.manifest.version)
        self._order = coordinator.order(max(1, coordinator.progress.round))
        self.name = f"{present.manifest.name}-{self._version}-{self._terms.run[:8]}"
        self._shelf = CandidateStore(release.candidates)
        self._shelf.reserve(self.name)
        self._gated: Gated | None = None
        self._compared: Compared | None = None
        self._bundle = ""
        self.reasons: list[str] = []

    def build(self) -> None:
        """Raises SplitsightError where there can be no bundle."""
        made = self._files()
        self._gated = choose_gate(
            self._asking,
            self._halves(made),
            self._present.manifest.gate.gate,
            self._release.promise,
            created=self._created,
            run=self._terms.run,
        )
        heads = (self._present.read(HEAD), made.head)
        gates = (self._present.manifest.gate.gate, self._gated.gate)
        self._compared = evaluation.compare(self._asking, heads, gates)
        path = self._shelf.folder(self.name) / BUNDLE
        self._check(write_bundle(path, self._manifest(self._gated), self._bytes(made)))
        self._bundle = BUNDLE

    def _files(self) -> Made:
        order, present = self._order, self._present
        net = _network(self._coordinator, self._asking)
        deployed = fuse_norms(DeployedHead(net.head))
        head_float = with_weights(present.read(HEAD_FLOAT), deployed) or export_head(net)
        seen = FleetSeen(self._asking, order)
        head = int8_head(net, head_float, seen)
        tail = export_tail(net) if order.scope.decoder else present.read(TAIL)
        return Made(head, head_float, tail, seen.tables(head, net.architecture.bottleneck))

    def _halves(self, made: Made) -> CandidateHalves:
        manifest = self._present.manifest
        # Nothing shows that the devices' parts did not choose the tail's weight when the bundle
        # was made: it knows pictures by the bytes of their files, and devices have no such files.
        compared = manifest.training.tail_weights
        return CandidateHalves(
            made.head, made.tail, made.tables.to_json(), manifest.features, compared
        )

    def _bytes(self, made: Made) -> dict[str, bytes]:
        present = self._present
        codec = FeatureCodec.of(made.tables, present.manifest.features.shape)
        golden = golden_outputs(
            present.golden.inputs,
            open_runtime("onnx", made.head),
            open_runtime("onnx", made.head_float),
            open_runtime("onnx", made.tail),
            codec,
        )
        check_quantisation(golden, present.manifest.tolerance.int8)
        # No list of what was trained on: hashes of devices' pictures stay with the devices.
        return {
            HEAD: made.head,
            HEAD_FLOAT: made.head_float,
            TAIL: made.tail,
            CODEC: made.tables.to_json(),
            GOLDEN: golden.to_bytes(),
        }

    def _manifest(self, gated: Gated) -> dict[str, object]:
        manifest, compared = self._present.manifest, self._compared
        history = self._coordinator.progress.history
        took = sorted({one.device for record in history for one in record.took_part})
        fields = manifest.model_dump(exclude={"files", "certificate", "leakage"})
        after = compared.after if compared else None
        fields["training"] = {
            **fields["training"],
            "data": f"{len(took)} devices' own labels, after {manifest.training.data}",
            "data_hash": gated.data_hash,
            "options": {
                "parent": self._present.id,
                "round": len(history),
                "run": self._terms.run,
                "strategy": self._terms.strategy,
                "base": self._terms.base,
                "participants": took,
                "examples": sum(record.examples for record in history),
            },
            "metrics": {"test_edge_auroc": after.auroc} if after and after.auroc else {},
        }
        return {
            **fields,
            "version": self._version,
            "created": self._created,
            "gate": spec_of(gated.gate),
            "certificate": gated.certificate,
        }

    def _check(self, bundle: Bundle) -> None:
        """Parity, as a device will check it."""
        check_codec(bundle)
        check_head(bundle, open_runtime("onnx", bundle.read(HEAD)))
        check_tail(bundle, open_runtime("onnx", bundle.read(TAIL)))

    def shelve(self, seconds: float) -> tuple[Record, RunFindings]:
        compared, gated = self._compared, self._gated
        so_far = told_by_rounds(self._coordinator)
        single = compared.single if compared else {}
        sites = evaluation.sites(single, so_far.rounds, self._release)
        self.reasons += [f"{one.device}: {one.lost}" for one in sites if one.lost]
        if compared and not any(_judged(one.compared) for one in sites):
            self.reasons.append("no device holds out parts to compare it by")
        post = self._asking.post
        findings = msgspec.structs.replace(
            so_far,
            name=self.name,
            created=self._created,
            parent=self._present.id,
            bundle=self._bundle,
            sites=sites,
            before=compared.before if compared else None,
            after=compared.after if compared else None,
            aside=self._asking.aside,
            seen=[*dict.fromkeys([*so_far.seen, *self._asking.seen])],
            bytes_down=so_far.bytes_down + max(post.bytes_down.values(), default=0),
            bytes_up=so_far.bytes_up + max(post.bytes_up.values(), default=0),
            minutes=so_far.minutes + seconds / 60,
            certified=bool(gated and gated.certificate),
            certificate=gated.told if gated else NEVER_CHOSEN,
            system=gated.system if gated else "",
            gate=gated.chosen if gated else "",
            reasons=self.reasons,
            remarks=[
                *remarks_of(self._order, private=self._coordinator.settings.privacy.private),
                *([f"Look at this first: {gated.doubt}."] if gated and gated.doubt else []),
            ],
        )
        record = Record(
            name=self.name,
            status="refused" if self.reasons else "candidate",
            bundle=self._bundle,
            created=self._created,
            run=self._terms.run,
            reasons=self.reasons,
            certified=findings.certified,
            doubt=gated.doubt if gated else "",
        )
        self._shelf.put(record, findings)
        return record, findings


def next_version(version: str) -> str:
    """The present version, its last of three numbers raised by one."""
    numbers = [*map(int, version.split(".")), 0, 0][:3]
    return ".".join(str(n) for n in (*numbers[:2], numbers[2] + 1))


def remarks_of(order: TrainOrder, *, private: bool) -> list[str]:
    """What numbers do not say."""
    found = []
    if order.scope.normalisation == "local" or order.scope.judgement == "local":
        found.append(
            "Layers that stayed with each device are in the bundle as they were in the base "
            "network; what devices have learned in them is not."
        )
    if private:
        found.append(
            "ε covers the training. The sums and numbers for calibration, certificate and "
            "comparison carry no noise and are not in it."
        )
    return found


def _network(coordinator: Coordinator, asking: Questioning) -> SplitNet:
    """As devices are sent it: with values in 16 bits."""
    base, learned = coordinator.base, coordinator.layout.named(asking.values)
    arrays = {
        name: learned[name].astype(array.dtype) if name in learned else array
        for name, array in base.arrays.items()
    }
    return restore(BaseNetwork(arrays, base.architecture, ""))


def _judged(compared: Comparison | None) -> bool:
    return compared is not None and compared.good + compared.defective > 0
