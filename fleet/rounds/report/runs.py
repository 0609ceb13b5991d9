"""Runs of rounds as they lie in their folders: what the journal and the report say."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleet.rounds.report.findings import RoundRecord, RunFindings
from shared.errors import FederationError
from shared.storage.arrays import read_array

REPORT, JOURNAL = "report.json", "journal.npz"
MOST_RUNS = 200
MOST_REPORT = 32 << 20


class RunTerms(msgspec.Struct, frozen=True):
    """Of the journal's, what people are shown."""

    run: str
    strategy: str
    rounds: int


class _Header(msgspec.Struct, frozen=True):
    terms: RunTerms
    history: list[RoundRecord]


@dataclass(frozen=True, slots=True)
class FoundRun:
    """One run.

    wanted     rounds that it was to have; None where only its report is left
    history    its rounds up to now
    findings   its report; None: it has not ended, or was started again since
    changed_at UTC seconds when the newest of it was written
    problem    why it can't be read; empty: it can
    """

    name: str
    folder: Path
    strategy: str = ""
    wanted: int | None = None
    history: Sequence[RoundRecord] = ()
    findings: RunFindings | None = None
    changed_at: float = 0.0
    problem: str = ""

    @property
    def ended(self) -> bool:
        return self.findings is not None

    @property
    def finished(self) -> int:
        """Rounds that changed the network."""
        return sum(record.outcome == "finished" for record in self.history)

    @property
    def epsilon(self) -> float | None:
        """Spent up to now; None where nothing bounds it."""
        spent = [record.epsilon for record in self.history if record.epsilon is not None]
        return spent[-1] if spent else None


class RunFolders:
    """Every run below one folder. Safe to share between threads.

    Read anew where a file has changed: a run that goes on writes after each round.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, tuple[object, FoundRun]] = {}

    @property
    def visible(self) -> bool:
        """Whether there is such a folder here."""
        return self.root.is_dir()

    def all(self) -> list[FoundRun]:
        """The newest first."""
        found = [self._read(folder) for folder in self._folders()]
        return sorted(found, key=lambda run: -run.changed_at)

    def find(self, name: str) -> FoundRun:
        """Raises FederationError where there is none."""
        for folder in self._folders():
            if folder.name == name:
                return self._read(folder)
        raise FederationError(f"there is no run {name[:80]!r}", fix=f"runs lie in {self.root}")

    def _folders(self) -> list[Path]:
        if not self.visible:
            return []
        try:
            inside = sorted(one for one in self.root.iterdir() if one.is_dir())
        except OSError:
            return []
        runs = [one for one in inside if (one / JOURNAL).exists() or (one / REPORT).exists()]
        return runs[-MOST_RUNS:]

    def _read(self, folder: Path) -> FoundRun:
        stamp = [_stamp(folder / name) for name in (JOURNAL, REPORT)]
        known = self._known.get(folder)
        if known is not None and known[0] == stamp:
            return known[1]
        changed_at = max(one[0] for one in stamp) / 1e9
        try:
            run = _opened(folder, changed_at)
        except (OSError, ValueError, KeyError, msgspec.MsgspecError, FederationError) as error:
            run = FoundRun(folder.name, folder, changed_at=changed_at, problem=str(error)[:300])
        self._known[folder] = (stamp, run)
        return run


def _opened(folder: Path, changed_at: float) -> FoundRun:
    header = _header(folder / JOURNAL)
    findings = _findings(folder / REPORT)
    if header is not None and findings is not None:
        # A run that was gone on with since has an older report, which no longer speaks for it.
        stale = findings.run != header.terms.run or len(findings.rounds) < len(header.history)
        findings = None if stale else findings
    history = header.history if header is not None else (findings.rounds if findings else [])
    strategy = header.terms.strategy if header is not None else ""
    return FoundRun(
        folder.name,
        folder,
        strategy or (findings.strategy if findings else ""),
        header.terms.rounds if header is not None else None,
        history,
        findings,
        changed_at,
    )


def _header(path: Path) -> _Header | None:
    """Of the journal only what is said of rounds: the network beside it stays on disk."""

    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("header.npy")
            if info.file_size > MOST_REPORT:
                raise FederationError(f"{path} is too large")
            raw = read_array(archive.read(info)).tobytes()
    except zipfile.BadZipFile as error:
        raise FederationError(f"{path} can't be read ({error})") from error
    return msgspec.json.decode(raw, type=_Header)


def _findings(path: Path) -> RunFindings | None:
    if not path.exists():
        return None
    if path.stat().st_size > MOST_REPORT:
        raise FederationError(f"{path} is too large")
    return msgspec.json.decode(path.read_bytes(), type=RunFindings)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
