"""The coordinator of a run: who is there, one round after the other, and a journal of each."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.serverapp.grid import Grid

from fleet.rounds.aggregation.plain_aggregation import (
    Aggregation,
    CollectedUpdates,
    TrainingRequest,
    pack,
)
from fleet.rounds.aggregation.private_aggregation import PrivateAggregation
from fleet.rounds.configuration.privacy import check_noise, check_strategy, private_scope
from fleet.rounds.configuration.settings import RoundSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.coordination.journal import RunJournal, RunProgress, Terms
from fleet.rounds.coordination.participants import Participants, RoundParticipants
from fleet.rounds.coordination.result import RunResult
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.grids.nodes import SelectedNodes
from fleet.rounds.report.findings import Exclusion, PossibleParticipant, RoundRecord
from fleet.rounds.strategies.base import RunStrategy
from shared.clock import Clock, SystemClock
from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import ORDER, TrainOrder, Vector, VectorLayout, narrow
from shared.log import get_logger

log = get_logger("rounds")

Watcher = Callable[[RoundRecord, Vector], None]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is to do.

    rounds   in all, counted from the run's first start
    run      its name, under which devices keep what is their own; empty: from seed and base
    """

    rounds: int
    seed: int = 0
    run: str = ""


class Coordinator:
    """Runs rounds over a grid and keeps a journal, from which a later start goes on.

    aggregation   how updates come together; by itself, as `settings.privacy` says
    watch         called after each round with its record and the values, in 64 bits
    Raises FederationError where the journal is another run's, SettingsError where the strategy
    needs what `settings.privacy` hides.
    """

    def __init__(
        self,
        grid: Grid,
        settings: RoundSettings,
        plan: RunPlan,
        base: BaseNetwork,
        *,
        aggregation: Callable[[GridMessaging], Aggregation] | None = None,
        watch: Watcher = lambda _record, _values: None,
        clock: Clock | None = None,
        messaging: GridMessaging | None = None,
    ) -> None:
        self.grid = grid
        self._settings = settings
        self._plan = plan
        self._base = base
        self._watch = watch
        self._clock = clock or SystemClock()
        self._messaging = messaging or GridMessaging(grid, clock=self._clock)
        self._aggregation = (
            aggregation(self._messaging)
            if aggregation
            else PrivateAggregation(self._messaging, settings.privacy)
        )
        self._participants = Participants(grid, self._messaging, settings, base.sha256, self._clock)
        self._strategy = RunStrategy(settings.strategy)
        if aggregation is None:
            check_strategy(
                settings.privacy, settings.strategy.kind, compares=self._strategy.kind.compares
            )
        scope = self._strategy.kind.scope(settings.scope.as_scope())
        self._scope = private_scope(scope) if settings.privacy.private else scope
        self.layout = VectorLayout.of(base.arrays, self._scope.travelling(base.arrays))
        self._journal = RunJournal(settings.folder)
        self.progress = self._resume()

    def answers(self) -> DeviceAnswers:
        """Answers of all devices that can take part now, about the network as it stands.

        Raises FederationError where there are none.
        """
        self._messaging.reset_bytes()
        names = self._participants.present()
        if not names:
            raise FederationError(
                "no device is there to be asked about the result",
                fix="see `splitsight fleet federate --dry-run`; run it again when some are there",
            )
        settings, values = self._settings, narrow(self.progress.values)
        return DeviceAnswers(self._messaging, settings.privacy, names, settings.deadline_s, values)

    def possible_participants(self) -> list[PossibleParticipant]:
        """Who would take part now, and why others would not: nothing is trained."""
        return self._participants.all()

    def run(self) -> RunProgress:
        """The rounds that are left.

        Raises FederationError after `void_limit` void rounds in a row.
        """
        while self.progress.round < self._plan.rounds:
            self.step()
        return self.progress

    def step(self) -> RoundRecord:
        """One round more; when it returns, the journal holds it. Raises as `run` does."""
        record = self._round(self.progress.round + 1)
        self.progress.history.append(record)
        self.progress.memory = self._strategy.memory
        self._journal.keep(self.progress)
        log.info(
            "round_over",
            round=record.round,
            outcome=record.outcome,
            devices=len(record.took_part),
            aside=len(record.aside),
            seconds=round(record.seconds, 3),
        )
        self._watch(record, self.progress.values)
        self._stop_if_void()
        return record

    def result(self) -> RunResult:
        """What the run has come to."""
        progress = self.progress
        return RunResult(
            folder=self._settings.folder,
            terms=progress.terms,
            history=tuple(progress.history),
            base=self._base,
            layout=self.layout,
            values=progress.values.copy(),
            order=self.order(max(1, progress.round)),
            release=self._settings.release,
        )

    def order(self, round_: int) -> TrainOrder:
        """What devices are told; the rate falls by a cosine over the run's rounds."""
        local = self._settings.local
        done = (round_ - 1) / max(1, self._plan.rounds - 1)
        level = local.last_rate + (1 - local.last_rate) * 0.5 * (1 + math.cos(math.pi * done))
        return TrainOrder(
            run=self.progress.terms.run,
            base=self._base.sha256,
            layout=self.layout.sha256,
            scope=self._scope,
            epochs=local.epochs,
            batch=local.batch,
            rate=local.rate * level,
            block_share=local.block_share,
            decay=local.decay,
            versions=local.versions,
            seed=self._plan.seed,
        )

    def _round(self, number: int) -> RoundRecord:
        started = self._clock.monotonic()
        before = sum(record.outcome == "finished" for record in self.progress.history)
        epsilon = self._aggregation.allow(before)
        self._messaging.reset_bytes()
        late = [self._participants.name(node) for node in self._messaging.late()]
        chosen = self._participants.choose(f"{self._plan.seed}/{number}")
        found, reason = CollectedUpdates(), chosen.shortage
        if not reason:
            try:
                found = self._train(number, chosen)
                reason = found.reason or self._participants.shortage(len(found.took_part))
            except FederationError as error:
                reason = error.message
        if not reason:
            self._mix(number, found.answers)
        self._participants.forget(found.silent)
        return RoundRecord(
            round=number,
            outcome="void" if reason else "finished",
            took_part=[] if reason else found.took_part,
            aside=sorted([*chosen.aside, *found.aside], key=lambda one: one.device),
            late=late,
            bytes_down=max(self._messaging.bytes_down.values(), default=0),
            bytes_up=max(self._messaging.bytes_up.values(), default=0),
            seconds=self._clock.monotonic() - started,
            reason=reason,
            seen=found.seen,
            epsilon=None if reason else epsilon,
            summed_examples=None if reason else found.examples,
            summed_loss=None if reason else found.loss,
        )

    def _train(self, number: int, chosen: RoundParticipants) -> CollectedUpdates:
        privacy, rounds = self._settings.privacy, self._plan.rounds
        check_noise(privacy, self._values_at_first(), len(chosen.nodes), rounds)
        arrays = self.layout.named(self.progress.values)
        trainings: Sequence[Message] = list(
            self._strategy.flower.configure_train(
                number,
                ArrayRecord({name: Array(np.asarray(a)) for name, a in arrays.items()}),
                ConfigRecord({ORDER: self.order(number).encode()}),
                SelectedNodes(chosen.nodes),
            )
        )
        packed = pack(trainings, self.progress.values)
        return self._aggregation.gather(
            TrainingRequest(
                number,
                self.layout,
                self.progress.values,
                packed,
                {node: self._participants.name(node) for node in chosen.nodes},
                self._settings.deadline_s,
            )
        )

    def _values_at_first(self) -> Vector:
        return self.layout.flat(self._base.arrays)

    def _mix(self, number: int, answers: Sequence[Message]) -> None:
        arrays, _ = self._strategy.flower.aggregate_train(number, answers)
        if arrays is None:
            raise FederationError(f"round {number} gave the strategy nothing to mix")
        self.progress.values = self.layout.flat({n: a.numpy() for n, a in arrays.items()})

    def _resume(self) -> RunProgress:
        terms = self._terms()
        found = self._journal.read()
        if found is None:
            values = self.layout.flat(self._base.arrays)
            return RunProgress(terms, values)
        if found.terms != terms:
            raise FederationError(
                f"{self._settings.folder} holds a run with other settings, strategy or base",
                fix="go on with the same, or give the new run another folder",
            )
        self._strategy.restore(found.memory)
        log.info("run_resumed", run=terms.run, round=found.round)
        return found

    def _terms(self) -> Terms:
        settings = self._settings.model_dump(mode="json", include=_ARITHMETIC)
        fingerprint = _sha256(settings)
        plan, strategy = self._plan, self._settings.strategy.kind
        run = plan.run or _sha256(
            [strategy, plan.rounds, plan.seed, self._base.sha256, fingerprint]
        )
        return Terms(
            run[:32], strategy, plan.rounds, plan.seed, self._base.sha256,
            self.layout.sha256, fingerprint,
        )  # fmt: skip

    def _stop_if_void(self) -> None:
        last = self.progress.history[-self._settings.void_limit :]
        if len(last) < self._settings.void_limit or any(r.outcome != "void" for r in last):
            return
        raise FederationError(
            f"{len(last)} rounds in a row were void, the last since {last[-1].reason}"
            f"{_reasons(last[-1].aside)}",
            fix="see `splitsight fleet federate --dry-run`; the run goes on from its last round",
        )


_ARITHMETIC = {"scope", "local", "share", "strategy", "privacy"}


def _sha256(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _reasons(aside: Sequence[Exclusion]) -> str:
    reasons = "; ".join(f"{one.device}: {one.reason}" for one in aside)
    return f" ({reasons})" if reasons else ""
