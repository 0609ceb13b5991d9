"""What the rounds alone tell, before a candidate or without one."""

from __future__ import annotations

from fleet.rounds.candidates.comparison import sites
from fleet.rounds.coordination.coordinator import Coordinator
from fleet.rounds.report.findings import RunFindings
from shared.format import iso

NEVER_CHOSEN = "none: no gate was chosen"


def told_by_rounds(coordinator: Coordinator) -> RunFindings:
    """The report of a run that made no candidate, or none yet."""
    terms, history = coordinator.progress.terms, coordinator.progress.history
    return RunFindings(
        name=f"run {terms.run[:8]}",
        run=terms.run,
        strategy=terms.strategy,
        created=now(),
        parent="",
        bundle="",
        rounds=history,
        sites=sites({}, history),
        before=None,
        after=None,
        aside=[],
        epsilon=next((r.epsilon for r in reversed(history) if r.epsilon is not None), None),
        seen=[*dict.fromkeys(record.seen for record in history if record.seen)],
        bytes_down=sum(record.bytes_down for record in history),
        bytes_up=sum(record.bytes_up for record in history),
        minutes=sum(record.seconds for record in history) / 60,
        certified=False,
        certificate=NEVER_CHOSEN,
        gate="",
        reasons=[],
        remarks=[],
    )


def now() -> str:
    return iso()
