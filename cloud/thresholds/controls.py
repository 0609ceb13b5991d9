"""What parts that were drawn at random say against a gate that nobody has tried yet."""

from __future__ import annotations

import math

from cloud.thresholds.parts import KnownParts
from cloud.thresholds.promise import PromiseRange
from shared.certification.confidence_sequence import interval_at_any_time
from shared.certification.gate import Gate
from shared.certification.promises import percent


def contradictions(parts: KnownParts, gate: Gate, promised: PromiseRange) -> list[str]:
    """For people, what control parts contradict: whatever the cloud would have said where it was
    never asked, more of them err than was promised. Empty where they don't, or nothing is promised.
    """
    found = []
    rejecting, passing = parts.kinds(math.inf), parts.kinds(-math.inf)
    cloud = gate.escalates
    sides = (
        (
            "of defective parts pass",
            promised.escape,
            rejecting[0].passed(gate, with_cloud=cloud),
            parts.bad,
        ),
        (
            "of good parts are rejected without a person",
            promised.false_reject,
            passing[1].rejected(gate, with_cloud=cloud),
            parts.good,
        ),
    )
    for what, limit, least, count in sides:
        if limit is None or not count:
            continue
        low, _ = interval_at_any_time(least, count, promised.delta)
        if low > limit:
            found.append(
                f"Promised: at most {percent(limit)} {what}. Of the control parts it would have "
                f"been {least} of {count}, so more than {percent(low)} with "
                f"{percent(1 - promised.delta)} confidence."
            )
    return found
