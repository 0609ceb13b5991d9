"""The end of a run: its report, after a candidate where one is asked for."""

from __future__ import annotations

import msgspec

from fleet.rounds.candidates.run_findings import told_by_rounds
from fleet.rounds.coordination.coordinator import Coordinator
from fleet.rounds.report.findings import RunFindings
from fleet.rounds.report.page import write_report
from shared.errors import FederationError


def conclude(coordinator: Coordinator, failure: str = "") -> RunFindings:
    """The run's report, in its folder; with `release:` in the settings a candidate comes first.

    failure   why the rounds ended early: then there is no candidate
    Raises as `make_candidate` and `by_policy`; FederationError where the report can't be written.
    """
    release, history = coordinator.settings.release, coordinator.progress.history
    if not any(record.outcome == "finished" for record in history):
        failure = failure or "no round has finished: " + "; ".join(one.reason for one in history)
    if release is not None and not failure:
        from fleet.rounds.candidates.approval import by_policy  # noqa: PLC0415 - tuf
        from fleet.rounds.candidates.candidate import make_candidate  # noqa: PLC0415 - torch and onnx

        record, findings = make_candidate(coordinator, release)
        released = by_policy(record, release)
        findings = msgspec.structs.replace(findings, release=released)
    else:
        why = failure or "no candidate was asked for: the settings have no `release:`"
        findings = msgspec.structs.replace(told_by_rounds(coordinator), reasons=[why])
    folder = coordinator.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = msgspec.json.format(msgspec.json.encode(findings), indent=2)
        (folder / "report.json").write_bytes(told)
        write_report(folder, findings)
    except OSError as error:
        raise FederationError(f"{folder} can't be written ({error.strerror})") from error
    return findings
