"""Inspections as a table for other programs: CSV and Parquet, piece by piece."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from cloud.records.queries import Filter, Records
from cloud.records.views import InspectionView
from shared.errors import SettingsError
from shared.web.spreadsheet import csv_lines

# What is waited for before anything comes is a short one; and who goes away soon leaves little work
# behind, so they grow.
FIRST_PIECE, PIECE = 50, 500

Read = Callable[[InspectionView], Any]
# Name, kind and where it comes from; a program that reads these files goes by the names.
PART_COLUMNS: dict[str, tuple[type, Read]] = {
    "received_at": (datetime, lambda one: datetime.fromtimestamp(one.received_at, UTC)),
    "site": (str, lambda one: one.site),
    "line": (str, lambda one: one.line),
    "device": (str, lambda one: one.device),
    "boot": (str, lambda one: one.boot),
    "sequence": (int, lambda one: one.sequence),
    "part": (int, lambda one: one.part),
    "lot": (str, lambda one: _said(one, "lot")),
    "recipe": (str, lambda one: _said(one, "recipe")),
    "bundle": (str, lambda one: _said(one, "bundle")),
    "decision": (str, lambda one: str(one.decision)),
    "verdict": (str, lambda one: one.verdict),
    "decided_by": (str, lambda one: one.decided_by),
    "line_verdict": (str, lambda one: one.line_verdict or one.verdict),
    "line_decided_by": (str, lambda one: one.line_decided_by or one.decided_by),
    "control": (str, lambda one: one.control),
    "head_score": (float, lambda one: one.score),
    "tail_score": (float, lambda one: one.tail.score if one.tail else None),
    "tail_verdict": (str, lambda one: one.tail.verdict if one.tail else None),
    "kind": (str, lambda one: one.tail.kind if one.tail else None),
    "kind_probability": (float, lambda one: one.tail.kind_probability if one.tail else None),
    "label": (str, lambda one: one.label.verdict if one.label else None),
    "label_kind": (str, lambda one: one.label.kind if one.label else None),
    "inspector": (str, lambda one: one.label.inspector if one.label else None),
    "edge_ms": (float, lambda one: _said(one, "edge_ms")),
    "total_ms": (float, lambda one: _said(one, "total_ms")),
    "cloud_ms": (float, lambda one: one.tail.cloud_ms if one.tail else None),
    "escalated_bytes": (int, lambda one: one.escalated_bytes),
    "frame_bytes": (int, lambda one: _said(one, "frame_bytes")),
}


def pieces(records: Records, wanted: Filter) -> Iterator[list[InspectionView]]:
    """All that a filter finds, the last that came first. Raises RecordsError."""
    cursor, size = None, FIRST_PIECE
    while True:
        found = records.search(wanted, limit=size, cursor=cursor)
        size = min(size * 2, PIECE)
        if found.inspections:
            yield found.inspections
        cursor = found.older
        if cursor is None:
            return


def csv_pieces(found: Iterable[list[InspectionView]]) -> Iterator[bytes]:
    """UTF-8 with a line of names first; what a spreadsheet would run stands behind a '."""
    yield csv_lines([PART_COLUMNS]).encode()
    for views in found:
        rows = ([_cell(read(one)) for _, read in PART_COLUMNS.values()] for one in views)
        yield csv_lines(rows).encode()


def parquet_pieces(found: Iterable[list[InspectionView]]) -> Iterator[bytes]:
    """A Parquet file, a group of rows at a time. Raises SettingsError where pyarrow lacks."""
    arrow, writers = _pyarrow()
    kinds = {
        datetime: arrow.timestamp("us", tz="UTC"),
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, (kind, _) in PART_COLUMNS.items()])
    sink = _Sink()
    with writers.ParquetWriter(sink, schema, compression="zstd") as writer:
        for views in found:
            columns = {
                name: [read(one) for one in views] for name, (_, read) in PART_COLUMNS.items()
            }
            writer.write_table(arrow.table(columns, schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where a writer that never goes back writes, until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._kept += data
        self._written += size
        return size

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        kept, self._kept = bytes(self._kept), bytearray()
        return kept


def _pyarrow() -> tuple[Any, Any]:
    try:
        # 150 MB that only who wants such a file needs.
        import pyarrow as arrow  # noqa: PLC0415, ICN001
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"Parquet files can't be written here ({error})",
            fix="pip install 'splitsight[cloud,parquet]' where the cloud runs, or take the CSV",
        ) from error
    return arrow, parquet


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value


def _said(view: InspectionView, name: str) -> Any:
    """Of the fields that come from the one place that names them."""
    return getattr(view, name)
