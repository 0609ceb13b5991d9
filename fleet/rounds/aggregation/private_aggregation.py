"""How updates come together when devices' privacy matters: under masks, with noise, or both."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray

from fleet.rounds.aggregation.plain_aggregation import (
    Aggregation,
    CollectedUpdates,
    PlainAggregation,
    TrainingRequest,
    answer_of,
)
from fleet.rounds.aggregation.secure_sum import SecureOutcome, SecureSum, SecureTerms
from fleet.rounds.aggregation.updates import Bounds, Update
from fleet.rounds.configuration.privacy import (
    PrivacySettings,
    what_is_seen,
    with_noise,
)
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.report.findings import Contribution, Exclusion
from shared import log
from shared.errors import FederationError
from shared.federation.protocol import ARRAYS, LOSS
from shared.federation.secure_aggregation import clipped

LOG = log.get_logger(__name__)

METRICS: Mapping[str, float] = {LOSS: 20.0}
"""SummedAnswer under the same masks as the updates, and how large each may be."""


class PrivateAggregation:
    """Sums under masks where it can, in the open where settings allow that; noise if asked for.

    last   what the last round under masks came to
    """

    def __init__(
        self,
        messaging: GridMessaging,
        settings: PrivacySettings,
        in_the_open: Aggregation | None = None,
    ) -> None:
        self._messaging = messaging
        self._settings = settings
        self._terms = terms_of(settings)
        # Whom a median sets aside depends on all: no ε would be known for that.
        times = math.inf if settings.private else settings.times_median
        bounds = Bounds(settings.clip, times)
        self._open = in_the_open or PlainAggregation(messaging, bounds)
        self.last: SecureOutcome | None = None

    def allow(self, finished: int) -> float | None:
        """ε after one more round. Raises BudgetSpent where the run may not tell as much."""
        accountant = self._settings.accountant
        return accountant.check(finished) if accountant else None

    def gather(self, request: TrainingRequest) -> CollectedUpdates:
        """Raises FederationError where the round can't be as private as asked."""
        seen = what_is_seen(self._settings, len(request.trainings))
        LOG.info("round_is_seen", round=request.round, sums_only=seen.sums_only, why=seen.why)
        found = self._summed(request) if seen.sums_only else self._open.gather(request)
        if self._settings.private and not seen.sums_only:
            self._add_noise(request, found)
        found.seen = seen.why
        return found

    def _summed(self, request: TrainingRequest) -> CollectedUpdates:
        secure_sum = SecureSum(self._messaging, self._terms, request.name)
        found = CollectedUpdates()
        try:
            outcome = self.last = secure_sum.gather(request.trainings, request.deadline_s)
        except FederationError as error:
            found.reason = error.message
        else:
            self._fill(request, found, outcome)
        taken = {one.device for one in found.took_part}
        found.silent = sorted(secure_sum.silent)
        found.aside = [
            Exclusion(request.name(one), why)
            for one, why in sorted(secure_sum.aside.items())
            if request.name(one) not in taken
        ]
        return found

    def _fill(
        self, request: TrainingRequest, found: CollectedUpdates, outcome: SecureOutcome
    ) -> None:
        mean = np.asarray(outcome.mean.mean[: request.layout.size], np.float64)
        names, numbers = sorted(self._terms.metrics), outcome.mean.mean[request.layout.size :]
        metrics = dict(zip(names, numbers, strict=True))
        devices, weight = outcome.mean.devices, outcome.mean.weight
        if self._settings.private:
            mean = with_noise(mean, self._settings, len(devices), rounding=outcome.rounding)
        found.loss = float(metrics.get(LOSS, math.nan))
        found.examples = weight
        update = Update(mean, weight, found.loss)
        found.answers = [answer_of(request.trainings[0], request, update)]
        found.took_part = [Contribution(name) for name in sorted(map(request.name, devices))]

    def _add_noise(self, request: TrainingRequest, found: CollectedUpdates) -> None:
        """One answer instead of many: the mean of changes of equal weight, with noise on it."""
        if not found.answers:
            return
        values = [request.layout.flat(_arrays(answer.content)) for answer in found.answers]
        changes = [clipped(one - request.values, self._settings.clip) for one in values]
        mean = with_noise(np.mean(changes, axis=0), self._settings, len(changes))
        update = Update(mean, len(changes), math.nan)
        found.answers = [answer_of(request.trainings[0], request, update)]


def terms_of(settings: PrivacySettings) -> SecureTerms:
    """Under differential privacy all devices weigh alike, and no metric leaves a device.

    A weight or a loss would tell about a device what no noise covers.
    """
    return SecureTerms(
        cap=1 if settings.private else settings.most_examples,
        norm=settings.clip,
        floor=settings.floor,
        reach=settings.reach,
        metrics={} if settings.private else METRICS,
        step_seconds=settings.step_s,
    )


def _arrays(content: RecordDict) -> dict[str, NDArray[np.generic]]:
    return {name: array.numpy() for name, array in content.array_records[ARRAYS].items()}
