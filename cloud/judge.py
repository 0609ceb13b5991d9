"""The thread that runs the tail: answer first, store after."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.counters import Counters
from cloud.pictures import map_png, seen_png
from cloud.records.tables import TailRecord
from cloud.records.writer import RecordsWriter
from cloud.tail import Tail, Tails
from cloud.work import Job, WorkQueue
from shared.clock import Clock
from shared.errors import CodecError, TransportError
from shared.log import get_logger
from shared.transport.base import Transport
from shared.wire import CloudVerdict, encode

log = get_logger("judge")

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Judged:
    job: Job
    score: float
    answered: float
    batch: int


class Judge:
    """Takes escalations from the queue in batches and gives each its verdict."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        tails: Tails,
        transport: Transport,
        writer: RecordsWriter,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._tails = tails
        self._transport = transport
        self._writer = writer
        self._counters = counters
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand, then end."""
        self._stopping.set()
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join()

    def step(self, timeout_s: float) -> int:
        """Judge one batch; how many parts it had."""
        jobs = self._queue.take(timeout_s)
        if jobs:
            self.judge(jobs)
        return len(jobs)

    def judge(self, jobs: Sequence[Job]) -> None:
        """Judge jobs of one pair. One that can't be decoded is left to its device's deadline."""
        tail = self._tails[jobs[0].escalation.pair]
        decoded = [
            (job, symbols) for job in jobs if (symbols := self._decode(tail, job)) is not None
        ]
        if not decoded:
            return
        symbols = np.stack([one for _, one in decoded])
        maps, scores = tail.run(symbols)
        self._counters.add("batches")
        self._counters.add("judged", len(decoded))
        combined = [
            tail.gate.cloud_score(job.escalation.score, float(score))
            for (job, _), score in zip(decoded, scores, strict=True)
        ]
        answered = [
            self._answer(tail, job, score)
            for (job, _), score in zip(decoded, combined, strict=True)
        ]
        self._writer.add_tails(
            [
                self._record(tail, _Judged(job, score, at, len(decoded)), seen, found)
                for (job, seen), found, score, at in zip(
                    decoded, maps, combined, answered, strict=True
                )
            ]
        )

    def _decode(self, tail: Tail, job: Job) -> NDArray[np.int8] | None:
        try:
            return tail.codec.decode(job.body)
        except CodecError as error:
            self._counters.add("malformed")
            log.warning("malformed", topic=job.address.topic("escalation"), reason=str(error))
            return None

    def _answer(self, tail: Tail, job: Job, score: float) -> float:
        """Send the verdict; when that was, monotonic seconds."""
        escalation = job.escalation
        answer = CloudVerdict(
            boot=escalation.boot,
            sequence=escalation.sequence,
            part=escalation.part,
            verdict=tail.gate.conclude(score),
            score=score,
        )
        try:
            self._transport.publish(
                job.address.topic("verdict"), encode(answer), properties=job.trace
            )
        except TransportError as error:
            self._counters.add("unanswered")
            log.warning("verdict_not_sent", device=job.address.device, reason=str(error))
        else:
            self._counters.add("answered")
        now = self._clock.monotonic()
        if now > job.deadline:
            self._counters.add("answered_late")
        return now

    def _record(
        self, tail: Tail, judged: _Judged, seen: NDArray[np.int8], found: NDArray[np.float32]
    ) -> TailRecord:
        job = judged.job
        return TailRecord(
            device=job.address.device,
            boot=job.escalation.boot,
            sequence=job.escalation.sequence,
            site=job.address.site,
            line=job.address.line,
            part=job.escalation.part,
            pair=job.escalation.pair,
            score=None if math.isnan(judged.score) else judged.score,
            verdict=tail.gate.conclude(judged.score),
            cloud_ms=(judged.answered - job.arrived) * 1000,
            batch=judged.batch,
            map_png=map_png(found),
            seen_png=seen_png(seen),
            received_at=self._clock.utc(),
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(LOOK_EVERY_S)
            except Exception:
                # One batch that the backend can't run must not end every later one's chance.
                self._counters.add("failed_batches")
                log.exception("batch_failed", fix="its devices reject these parts by deadline")
