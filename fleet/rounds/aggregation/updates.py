"""Which of a round's updates may be mixed: each that may not is set aside by name and reason.

Under secure aggregation nobody sees an update, so that none of this can be done here: devices clip
their own, and of the sum only its length and the number of examples are checked
(`fleet.rounds.aggregation.secure_sum`). A device that lies within its norm is not found out there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fleet.rounds.report.findings import Exclusion
from shared.errors import FederationError
from shared.federation.flower_arrays import unpacked
from shared.federation.protocol import (
    ARRAYS,
    CHANGE,
    CONFIG,
    EXAMPLES,
    LAYOUT,
    LOSS,
    METRICS,
    ROUND,
    Vector,
    VectorLayout,
)

ENOUGH_FOR_A_MEDIAN = 3
MOST_EXAMPLES = 1_000_000
"""Pictures of one device in one round. A device that claims more would decide the mean alone."""
MOST_LOSS = 1e6


@dataclass(frozen=True, slots=True)
class Update:
    """What a device answered.

    change    against the values that were sent
    examples  pictures that it was learned from
    """

    change: Vector
    examples: int
    loss: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a change may be (L2).

    norm          longer ones are scaled down to this
    times_median  longer ones than this many medians of the round are set aside
    """

    norm: float = math.inf
    times_median: float = math.inf


def read_update(content: RecordDict, layout: VectorLayout, round_: int) -> Update:
    """The update in a device's answer. Raises FederationError where it is none."""
    config = content.config_records.get(CONFIG) or ConfigRecord()
    if config.get(LAYOUT) != layout.sha256:
        raise FederationError("its update belongs to layers of another shape or version")
    if config.get(ROUND) != round_:
        raise FederationError(f"its update is of round {config.get(ROUND)!r}, not {round_}")
    numbers = content.metric_records.get(METRICS) or MetricRecord()
    examples, loss = numbers.get(EXAMPLES), numbers.get(LOSS, math.nan)
    if not isinstance(examples, int) or not 1 <= examples <= MOST_EXAMPLES:
        raise FederationError(f"its update claims to be learned from {examples} pictures")
    if not isinstance(loss, int | float) or (LOSS in numbers and not 0 <= loss <= MOST_LOSS):
        raise FederationError(f"its loss is no number between 0 and {MOST_LOSS:g}: {loss}")
    return Update(_change(content, layout), examples, float(loss))


def within(
    updates: Mapping[str, Update], bounds: Bounds
) -> tuple[dict[str, Update], list[Exclusion]]:
    """The updates by device, clipped to the norm, without those that are far too long."""
    lengths = {name: float(np.linalg.norm(update.change)) for name, update in updates.items()}
    most = math.inf
    if len(lengths) >= ENOUGH_FOR_A_MEDIAN:
        most = bounds.times_median * float(np.median(list(lengths.values())))
    aside = [
        Exclusion(
            name,
            f"its update is {length:.3g} long, more than {bounds.times_median:g} times"
            f" the round's median of {most / bounds.times_median:.3g}",
        )
        for name, length in lengths.items()
        if length > most
    ]
    kept = {
        name: _clipped(update, lengths[name], bounds.norm)
        for name, update in updates.items()
        if lengths[name] <= most
    }
    return kept, aside


def _change(content: RecordDict, layout: VectorLayout) -> Vector:
    arrays = content.array_records.get(ARRAYS) or ArrayRecord()
    if list(arrays) != [CHANGE]:
        found = ", ".join(arrays)[:80] or "nothing"
        raise FederationError(f"its update holds {found} instead of `{CHANGE}`")
    array = arrays[CHANGE]
    # What it says of itself first: nothing is unpacked that is of another size.
    if array.dtype != "float16" or tuple(array.shape) != (layout.size,):
        raise FederationError(
            f"its update has {array.dtype} values in {tuple(array.shape)},"
            f" float16 in ({layout.size},) were wanted"
        )
    values = unpacked(array)
    if not np.isfinite(values).all():
        raise FederationError("its update holds values that are no numbers")
    return np.asarray(values, np.float64)


def _clipped(update: Update, length: float, norm: float) -> Update:
    return update if length <= norm else replace(update, change=update.change * (norm / length))
