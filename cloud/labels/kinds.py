"""The kinds of defect that inspectors of a line may name, each with its key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from sqlalchemy import delete, func, insert, select, tuple_
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.labels.tables import DefectKindRecord, LabelEntry
from cloud.records.database import Database
from shared.errors import SettingsError
from shared.web.access import Caller

MOST = 40
LONGEST = 63
KEYS = 9
GOOD = "good"
Line = tuple[str, str]


class DefectKinds:
    """Safe to share between threads, and between the cloud's processes.

    served   the kinds that the bundles tell apart which are served now
    """

    def __init__(
        self, database: Database, audit: AuditLog, served: Callable[[], Sequence[str]] = list
    ) -> None:
        self._database = database
        self._audit = audit
        self._served = served

    def of(self, lines: Collection[Line]) -> dict[Line, list[str]]:
        """Of each of these lines, by site and line: as somebody wrote them down; where nobody did,
        those of the bundles and what inspectors of the line have named, most often first.

        Raises RecordsError.
        """
        row, entry, many = DefectKindRecord, LabelEntry, func.count()
        wanted = sorted(lines)
        place, said_at = (col(row.site), col(row.line)), (col(entry.site), col(entry.line))
        written = (
            select(*place, col(row.name)).where(tuple_(*place).in_(wanted)).order_by(col(row.place))
        )
        named = (
            select(*said_at, col(entry.kind))
            .where(tuple_(*said_at).in_(wanted), col(entry.kind).is_not(None))
            .group_by(*said_at, col(entry.kind))
            .order_by(many.desc(), col(entry.kind))
        )
        served = [name for name in self._served() if name != GOOD]
        known: dict[Line, list[str]] = defaultdict(list)
        used: dict[Line, list[str]] = defaultdict(list)
        with self._database.begin() as connection:
            for site, line, name in connection.execute(written):
                known[site, line].append(name)
            if known.keys() != set(wanted):
                for site, line, kind in connection.execute(named):
                    if kind:
                        used[site, line].append(kind)
        return {
            one: known.get(one) or list(dict.fromkeys([*served, *used[one][:MOST]]))[:MOST]
            for one in wanted
        }

    def write(self, site: str, line: str, names: Sequence[str], caller: Caller) -> None:
        """Write them down in this order; of none, the line has those that `of` finds.

        Raises SettingsError, RecordsError.
        """
        kinds = [name.strip() for name in names if name.strip()]
        _require_kinds(kinds)
        row = DefectKindRecord
        before = self.of([(site, line)])[site, line]
        with self._database.begin() as connection:
            self._audit.hold(connection)
            own = (col(row.site) == site, col(row.line) == line)
            connection.execute(delete(row).where(*own))
            rows = [
                {"site": site, "line": line, "place": place, "name": name}
                for place, name in enumerate(kinds, start=1)
            ]
            if rows:
                connection.execute(insert(row), rows)
            facts = {"kinds": before}, {"kinds": kinds}
            self._audit.append(connection, caller.did("kinds", f"{site}/{line}", *facts))


def _require_kinds(kinds: Sequence[str]) -> None:
    if len(kinds) > MOST:
        raise SettingsError(f"{len(kinds)} kinds came", fix=f"at most {MOST}, the frequent ones")
    if len({name.casefold() for name in kinds}) < len(kinds):
        raise SettingsError("one kind came twice", fix="write each once")
    for name in kinds:
        if len(name) > LONGEST or "\0" in name:
            raise SettingsError(f"the kind {name[:20]!r}… is too long", fix=f"{LONGEST} letters")
        if name.casefold() == GOOD:
            raise SettingsError("`good` is no kind of defect", fix="leave it out: press P for pass")
