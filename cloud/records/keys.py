"""Finding and joining the rows of one inspection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Table, and_, bindparam, false, inspect, or_
from sqlmodel import SQLModel

from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.contracts import InspectionKey

Condition = ColumnElement[bool]
Beside: TypeAlias = type[TailRecord | LabelRecord]
Keyed: TypeAlias = Table | type[SQLModel]


def key_columns(table: Keyed) -> list[Any]:
    """The columns that an inspection is found by, in order."""
    columns = table.c if isinstance(table, Table) else inspect(table).columns
    return [columns[name] for name in InspectionKey._fields]


def same_key(one: Keyed = TailRecord, other: Keyed = INSPECTIONS) -> Condition:
    """Joins two tables by inspection."""
    return and_(
        *(this == that for this, that in zip(key_columns(one), key_columns(other), strict=True))
    )


def has_key(table: Keyed, key: InspectionKey) -> list[Condition]:
    """Finds the row of one inspection."""
    return [column == part for column, part in zip(key_columns(table), key, strict=True)]


def bound(columns: Iterable[Any]) -> list[Condition]:
    """Finds the row whose key a statement is given when it runs, as `given` names it."""
    return [column == bindparam(f"of_{column.name}") for column in columns]


def given(key: NamedTuple) -> dict[str, Any]:
    """What such a statement is given to find the row of a key."""
    return {f"of_{name}": part for name, part in key._asdict().items()}


def among(table: Keyed, keys: Iterable[InspectionKey]) -> Condition:
    """Finds the rows of several inspections. Said box by box, each with its numbers: SQLite would
    look through the whole table for a list of keys."""
    device, boot, sequence = key_columns(table)
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key in sorted(keys):
        numbers[key.device, key.boot].append(key.sequence)
    several = [
        and_(device == box, boot == since, sequence.in_(own))
        for (box, since), own in numbers.items()
    ]
    return or_(false(), *several)
