"""Lists of parts as files, for spreadsheets and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from cloud.records.queries import Filter, Records
from cloud.web.part_table import csv_pieces, parquet_pieces, pieces
from cloud.web.problems import Problem
from shared.web.roles import needs

PARQUET = "application/vnd.apache.parquet"


def parts_routes(records: Records) -> APIRouter:
    """Under /api: all that a filter finds, the last that came first."""
    routes = APIRouter(
        prefix="/api", responses={503: {"model": Problem}}, dependencies=[needs("viewer")]
    )

    @routes.get(
        "/parts.csv",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {}}, "description": "one line a part"}},
    )
    def as_csv(wanted: Annotated[Filter, Query()]) -> StreamingResponse:
        """As CSV: UTF-8, times in UTC. A text that a spreadsheet would run stands behind a '."""
        return _file(csv_pieces(pieces(records, wanted)), "text/csv; charset=utf-8", "parts.csv")

    @routes.get(
        "/parts.parquet",
        response_class=StreamingResponse,
        responses={
            200: {"content": {PARQUET: {}}, "description": "one row a part"},
            422: {"model": Problem},
        },
    )
    def as_parquet(wanted: Annotated[Filter, Query()]) -> StreamingResponse:
        """As Parquet, where the cloud has the extra `parquet`."""
        return _file(parquet_pieces(pieces(records, wanted)), PARQUET, "parts.parquet")

    return routes


def _file(content: Iterator[bytes], kind: str, name: str) -> StreamingResponse:
    # What goes wrong at once is answered as such, not as half a file.
    first = next(content, b"")
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(chain([first], content), media_type=kind, headers=headers)
