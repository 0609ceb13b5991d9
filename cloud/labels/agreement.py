"""How far inspectors agree who looked at the same parts without knowing what the other said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from cloud.labels.opinions import LabelOpinion, voices
from cloud.labels.tables import BLIND, LabelEntry
from cloud.records.database import Database
from cloud.records.keys import among, key_columns
from cloud.records.views import RecordView
from cloud.statistics.kappa import cohens_kappa
from shared.contracts import InspectionKey

# The newest second opinions: inspectors change, and so do parts.
MOST = 5_000
AT_ONCE = 200


class InspectorAgreement(RecordView):
    """Cohen's κ of the verdicts, or of one kind of defect, with a 95 % interval."""

    of: Literal["all", "line", "kind", "pair"]
    name: str = Field(description="of the line, the kind, or the two inspectors; empty for all")
    pairs: int = Field(description="on how many parts two inspectors spoke")
    agreed: int
    kappa: float | None = Field(description="null: both only ever said the same one word")
    low: float | None
    high: float | None


class _Pair(NamedTuple):
    """Two inspectors' words of one part."""

    line: str
    first: LabelOpinion
    second: LabelOpinion


def agreement_of(database: Database) -> list[InspectorAgreement]:
    """Over all, by line, by kind and by pair of inspectors. Raises RecordsError."""
    pairs = _pairs(database)

    def rows(
        of: Literal["line", "pair"], name: Callable[[_Pair], str]
    ) -> Iterable[InspectorAgreement]:
        groups: dict[str, list[_Pair]] = defaultdict(list)
        for pair in pairs:
            groups[name(pair)].append(pair)
        for title, group in sorted(groups.items()):
            yield _row(of, title, [(one.first.verdict, one.second.verdict) for one in group])

    kinds = sorted({one.kind for pair in pairs for one in pair[1:] if one.kind})
    return [
        _row("all", "", [(pair.first.verdict, pair.second.verdict) for pair in pairs]),
        *rows("line", lambda pair: pair.line),
        *(
            _row("kind", kind, [(p.first.kind == kind, p.second.kind == kind) for p in pairs])
            for kind in kinds
        ),
        *rows("pair", lambda pair: f"{pair.first.inspector}, {pair.second.inspector}"),
    ]


def _row(
    of: Literal["all", "line", "kind", "pair"],
    name: str,
    said: Sequence[tuple[Hashable, Hashable]],
) -> InspectorAgreement:
    return InspectorAgreement(of=of, name=name, **cohens_kappa(said)._asdict())


def _pairs(database: Database) -> list[_Pair]:
    entry = LabelEntry
    key = key_columns(entry)
    newest = select(*key).where(BLIND).order_by(col(entry.number).desc()).limit(MOST)
    found: list[_Pair] = []
    with database.begin() as connection:
        keys = sorted({InspectionKey(*row) for row in connection.execute(newest)})
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            query = (
                select(entry)
                .where(among(entry, some), col(entry.undone_at).is_(None))
                .order_by(col(entry.number))
            )
            said: dict[InspectionKey, list[LabelOpinion]] = defaultdict(list)
            lines: dict[InspectionKey, str] = {}
            for row in connection.execute(query).mappings():
                one = InspectionKey(row["device"], row["boot"], row["sequence"])
                lines[one] = f"{row['site']} / {row['line']}"
                said[one].append(
                    LabelOpinion(
                        row["number"], row["inspector"], row["verdict"], row["kind"], row["blind"]
                    )
                )
            for one, opinions in said.items():
                by_name = sorted(voices(opinions), key=lambda voice: voice.inspector)
                found += [_Pair(lines[one], *both) for both in combinations(by_name, 2)]
    return found
