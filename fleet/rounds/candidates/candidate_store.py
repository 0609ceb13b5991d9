"""Where candidates wait: a folder each, with its bundle, its report and what was decided."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from fleet.rounds.report.findings import CandidateRecord, CandidateStatus, RunFindings
from fleet.rounds.report.page import DATA, write_report
from shared.bundles.bundle import Bundle
from shared.errors import FederationError
from shared.format import iso
from shared.storage.files import replace_file

CANDIDATES = "candidates"
"""The folder in a fleet's own."""
RECORD = "candidate.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class CandidateStore:
    """Candidates by name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> Path:
        """Raises FederationError for what can't be a candidate's name."""
        if not _NAME.fullmatch(name):
            raise FederationError(f"{name!r} can't be the name of a candidate")
        return self._root / name

    def reserve(self, name: str) -> None:
        """Raises FederationError where this candidate was decided on already."""
        if (self.folder(name) / RECORD).exists():
            status = self.get(name).status
            if status in {"approved", "rejected"}:
                raise FederationError(
                    f"{name} was {status} already", fix="give `release.version` a higher one"
                )

    def put(self, record: CandidateRecord, findings: RunFindings) -> None:
        """Raises FederationError where the disk does not take it."""
        folder = self.folder(record.name)
        try:
            write_report(folder, findings)
            self._keep(record)
        except OSError as error:
            raise FederationError(
                f"{folder} can't be written ({error.strerror})",
                fix="free some space, then run it again: the rounds need not be repeated",
            ) from error

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._root.glob(f"*/{RECORD}"))

    def get(self, name: str) -> CandidateRecord:
        """Raises FederationError where there is none, or its record is broken."""
        path = self.folder(name) / RECORD
        try:
            return msgspec.json.decode(path.read_bytes(), type=CandidateRecord)
        except FileNotFoundError as error:
            known = ", ".join(self.names()) or "none"
            raise FederationError(f"there is no candidate {name}", fix=f"known: {known}") from error
        except (OSError, msgspec.MsgspecError) as error:
            raise FederationError(f"{path} can't be read ({error})") from error

    def findings(self, name: str) -> RunFindings:
        """Raises FederationError where they can't be read."""
        path = self.folder(name) / DATA
        try:
            return msgspec.json.decode(path.read_bytes(), type=RunFindings)
        except (OSError, msgspec.MsgspecError) as error:
            raise FederationError(f"{path} can't be read ({error})") from error

    def bundle(self, name: str) -> Bundle:
        """Raises FederationError where none could be made, BundleError where it is broken."""
        record = self.get(name)
        if not record.bundle:
            raise FederationError(f"{name} has no bundle: {'; '.join(record.reasons)}")
        return Bundle.open(self.folder(name) / record.bundle)

    def waiting(self, name: str, to: str) -> CandidateRecord:
        """A candidate that may still be decided on. Raises FederationError where it may not."""
        record = self.get(name)
        if record.status == "refused" and to == "approve":
            raise FederationError(
                f"{name} may not go out: {'; '.join(record.reasons)}",
                fix="see its report.html; label more parts and run more rounds",
            )
        if record.status in {"approved", "rejected"}:
            raise FederationError(f"{name} was {record.status} by {record.by} at {record.at}")
        return record

    def decide(self, name: str, status: CandidateStatus, by: str, why: str = "") -> CandidateRecord:
        """Write down who decided what, and why. Raises FederationError without a name."""
        if not by.strip():
            raise FederationError("nobody decided: a decision needs a name", fix="give --by WHO")
        changes = {"status": status, "by": by.strip(), "at": iso(), "why": why.strip()}
        record = msgspec.structs.replace(self.get(name), **changes)
        self._keep(record)
        return record

    def _keep(self, record: CandidateRecord) -> None:
        raw = msgspec.json.format(msgspec.json.encode(record), indent=2)
        replace_file(self.folder(record.name) / RECORD, raw)
