"""The thread that runs the tail: answer first, store after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.inference.counters import EventCounters
from cloud.inference.defect_maps import map_png, seen_png
from cloud.inference.handover import Handover
from cloud.inference.queue import Job, WorkQueue
from cloud.inference.tail import DefectKind, LoadedTail, TailFinding, Tails
from cloud.inference.throttle import LogThrottle
from cloud.records.tables import TailRow
from cloud.records.writer import RecordsWriter
from shared.clock import Clock
from shared.contracts import Verdict, plain_verdict
from shared.errors import CodecError, TransportError
from shared.features.pixel_settings import PixelSettings
from shared.log import get_logger
from shared.transport.base import Transport
from shared.wire import CloudVerdict, encode
from shared.worker import OnDeath, Worker

log = get_logger("judge")

LOOK_EVERY_S = 1.0


class _Ran(NamedTuple):
    """A batch that has been in the tail: from when on, monotonic seconds, and how many."""

    found: TailFinding
    began: float
    took_s: float


@dataclass(frozen=True, slots=True)
class _Judged:
    """One job and what came of it; `kind` only of a rejected part."""

    job: Job
    seen: NDArray[np.int8]
    defect_map: NDArray[np.float32]
    score: float
    verdict: Verdict
    kind: DefectKind | None
    ran: _Ran
    pixels: PixelSettings


class TailWorker:
    """Takes escalations from the queue in batches and gives each its verdict."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        tails: Tails,
        transport: Transport,
        writer: RecordsWriter,
        counters: EventCounters,
        clock: Clock,
        on_death: OnDeath,
        handover: Handover,
    ) -> None:
        self._queue = queue
        self._tails = tails
        self._transport = transport
        self._writer = writer
        self._counters = counters
        self._clock = clock
        self._handover = handover
        self._throttle = LogThrottle(clock)
        self._worker = Worker("tail", self._judge_next, on_death=on_death, unblock=queue.close)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Finish the batch in hand, then end."""
        self._worker.stop()

    def step(self, timeout_s: float) -> int:
        """Judge one batch; how many parts it had."""
        jobs = self._queue.take(timeout_s)
        if jobs:
            self.judge(jobs)
        return len(jobs)

    def judge(self, jobs: Sequence[Job]) -> None:
        """Judge jobs of one pair. One that can't be decoded is left to its device's deadline."""
        tail = self._tails.get(jobs[0].escalation.pair)
        if tail is None:
            # Dropped from the rack while they waited.
            for job in jobs:
                self._hand_on(job)
            return
        decoded = [
            (job, symbols) for job in jobs if (symbols := self._decode(tail, job)) is not None
        ]
        if not decoded:
            return
        began = self._clock.monotonic()
        found = tail.run(np.stack([symbols for _, symbols in decoded]))
        ran = _Ran(found, began, self._clock.monotonic() - began)
        self._counters.add("batches")
        self._counters.add("judged", len(decoded))
        judged = [
            _conclude(tail, job, symbols, ran, index)
            for index, (job, symbols) in enumerate(decoded)
        ]
        answered = [self._answer(one) for one in judged]
        self._writer.add_tails(
            [self._record(one, at, len(judged)) for one, at in zip(judged, answered, strict=True)]
        )

    def _hand_on(self, job: Job) -> None:
        remaining = job.deadline - self._clock.monotonic()
        given = (job.address, job.escalation, job.body, remaining, job.trace)
        if job.handed or not self._handover.hand_on(*given):
            self._counters.add("unknown_pair")

    def _decode(self, tail: LoadedTail, job: Job) -> NDArray[np.int8] | None:
        try:
            return tail.codec.decode(job.body, job.escalation.coarseness)
        except CodecError as error:
            self._counters.add("malformed")
            topic = job.address.topic("escalation")
            if count := self._throttle.may_tell(topic):
                log.warning("malformed", topic=topic, reason=str(error), messages=count)
            return None

    def _answer(self, judged: _Judged) -> float:
        """Send the verdict; when that was, monotonic seconds."""
        job, escalation = judged.job, judged.job.escalation
        answer = CloudVerdict(
            boot=escalation.boot,
            sequence=escalation.sequence,
            part=escalation.part,
            verdict=plain_verdict(judged.verdict),
            score=judged.score,
            review=judged.verdict == "review",
            defect=judged.kind.name if judged.kind else "",
        )
        try:
            self._transport.publish(
                job.address.topic("verdict"), encode(answer), properties=job.trace
            )
        except TransportError as error:
            self._counters.add("unanswered")
            if count := self._throttle.may_tell("verdict_not_sent"):
                log.warning(
                    "verdict_not_sent",
                    device=job.address.device,
                    reason=str(error),
                    verdicts=count,
                )
        else:
            self._counters.add("answered")
        now = self._clock.monotonic()
        if now > job.deadline:
            self._counters.add("answered_late")
        return now

    def _record(self, judged: _Judged, answered: float, batch: int) -> TailRow:
        job, kind, tile = judged.job, judged.kind, judged.job.escalation.place
        return {
            "device": job.address.device,
            "boot": job.escalation.boot,
            "sequence": job.escalation.sequence,
            "site": job.address.site,
            "line": job.address.line,
            "part": job.escalation.part,
            "pair": job.escalation.pair,
            "score": None if math.isnan(judged.score) else judged.score,
            "verdict": judged.verdict,
            "kind": kind.name if kind else None,
            "kind_probability": kind.probability if kind else None,
            "coarseness": job.escalation.coarseness,
            "cloud_ms": (answered - job.arrived) * 1000,
            "batch": batch,
            "queue_ms": (judged.ran.began - job.arrived) * 1000,
            "tail_ms": judged.ran.took_s * 1000,
            "map_png": map_png(judged.defect_map, judged.pixels, tile),
            "seen_png": seen_png(judged.seen, judged.pixels, tile),
            "received_at": self._clock.utc(),
        }

    def _judge_next(self) -> float:
        try:
            self.step(LOOK_EVERY_S)
        except Exception:
            # One batch that the backend can't run must not end every later one's chance.
            self._counters.add("failed_batches")
            log.exception("batch_failed", fix="its devices reject these parts by deadline")
        return 0.0


def _conclude(
    tail: LoadedTail,
    job: Job,
    symbols: NDArray[np.int8],
    ran: _Ran,
    index: int,
) -> _Judged:
    found = ran.found
    score = tail.gate.cloud_score(job.escalation.score, float(found.scores[index]))
    verdict = tail.conclude(symbols, score)
    # The probabilities hold for defective parts alone.
    kind = found.kind(index, tail.bundle.manifest.classes) if verdict == "reject" else None
    pixels = tail.bundle.manifest.input.pixels
    return _Judged(job, symbols, found.maps[index], score, verdict, kind, ran, pixels)
