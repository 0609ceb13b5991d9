"""Where inspectors label parts: what they truly were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.records.tables import LabelRecord
from cloud.records.views import InspectionView
from cloud.web.problems import Problem
from cloud.web.routes import Name, Sequence, find
from shared.clock import Clock
from shared.contracts import InspectionKey, PlainVerdict


class GivenLabel(BaseModel):
    """What an inspector says of a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: PlainVerdict = Field(description="what the part should have been given")
    kind: str | None = Field(default=None, min_length=1, max_length=63, description="of defect")
    inspector: str = Field(min_length=1, max_length=63, description="who looked")

    @model_validator(mode="after")
    def _good_parts_have_no_defect(self) -> Self:
        if self.kind is not None and self.verdict == "pass":
            raise ValueError("a part that should pass has no kind of defect: leave out `kind`")
        return self


def label_routes(
    records: Records, database: Database, clock: Clock, labelled: Callable[[], None]
) -> APIRouter:
    """Labelling under /api; `labelled` is called after each label."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})
    store = RecordStore(database)

    @routes.put(
        "/inspections/{device}/{boot}/{sequence}/review", responses={404: {"model": Problem}}
    )
    def review(device: Name, boot: Name, sequence: Sequence, label: GivenLabel) -> InspectionView:
        """An inspector's label of the part; it replaces an earlier one.

        It settles a part that was given to review or that the deadline diverted. It travels on to
        the device, which keeps the picture longer and learns from both.
        """
        key = InspectionKey(device, boot, sequence)
        find(records, key)
        now = clock.utc()
        store.label(LabelRecord(**key._asdict(), **label.model_dump(), reviewed_at=now))
        labelled()
        return find(records, key)

    return routes
