"""Where inspectors label parts: what they truly were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection

from cloud.accounts.audit import AuditLog
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.records.tables import LabelRecord
from cloud.records.views import InspectionView
from cloud.web.problems import Problem
from cloud.web.routes import Name, Sequence, find
from shared.clock import Clock
from shared.contracts import InspectionKey, PlainVerdict
from shared.web.access import Caller, caller_of
from shared.web.audit import Facts
from shared.web.roles import OWN_ENTRY, needs


class GivenLabel(BaseModel):
    """What an inspector says of a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: PlainVerdict = Field(description="what the part should have been given")
    kind: str | None = Field(default=None, min_length=1, max_length=63, description="of defect")
    inspector: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="who looked; counts only where the caller has no account",
    )

    @model_validator(mode="after")
    def _good_parts_have_no_defect(self) -> Self:
        if self.kind is not None and self.verdict == "pass":
            raise ValueError("a part that should pass has no kind of defect: leave out `kind`")
        return self


def label_routes(
    records: Records,
    database: Database,
    clock: Clock,
    labelled: Callable[[], None],
    audit: AuditLog,
) -> APIRouter:
    """Labelling under /api; `labelled` is called after each label."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})
    store = RecordStore(database)

    @routes.put(
        "/inspections/{device}/{boot}/{sequence}/review",
        responses={404: {"model": Problem}},
        dependencies=[needs("inspector", "label", OWN_ENTRY)],
    )
    def review(
        device: Name,
        boot: Name,
        sequence: Sequence,
        label: GivenLabel,
        caller: Annotated[Caller, Depends(caller_of)],
    ) -> InspectionView:
        """An inspector's label of the part; it replaces an earlier one.

        It settles a part that was given to review or that the deadline diverted. It travels on to
        the device, which keeps the picture longer and learns from both.
        """
        key = InspectionKey(device, boot, sequence)
        find(records, key)
        said = {**label.model_dump(), "inspector": caller.signs(label.inspector, "inspector")}

        def written(connection: Connection, before: Facts | None) -> None:
            subject = f"{device}/{boot}/{sequence}"
            entry = caller.did("label", subject, before, said, said["inspector"])
            audit.append(connection, entry)

        store.label(LabelRecord(**key._asdict(), **said, reviewed_at=clock.utc()), written)
        labelled()
        return find(records, key)

    return routes
