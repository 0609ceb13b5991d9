"""Where inspectors label parts: what they truly were; and what was said of each."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from cloud.labels.agreement import InspectorAgreement
from cloud.labels.drawing import MAX_SENT, mask_of
from cloud.labels.history import LabelHistory, Said
from cloud.labels.opinions import Outcome
from cloud.labels.second_looks import judgement_of
from cloud.labels.views import EntryView, OutcomeView
from cloud.records.queries import NO_NUL, Records
from cloud.records.views import InspectionView
from cloud.web.problems import NotFound, Problem
from cloud.web.routes import Name, find
from cloud.web.routes import Sequence as PartSequence
from shared.contracts import InspectionKey, PlainVerdict
from shared.errors import SettingsError
from shared.inspection import LARGEST_NUMBER
from shared.web.access import Caller, caller_of
from shared.web.roles import OWN_ENTRY, needs

MOST_AT_ONCE = 200
SignedIn = Annotated[Caller, Depends(caller_of)]
Inspector = Field(
    default=None,
    min_length=1,
    max_length=63,
    pattern=NO_NUL,
    description="who looked; counts only where the caller has no account",
)


class GivenLabel(BaseModel):
    """What an inspector says of a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: PlainVerdict = Field(description="what the part should have been given")
    kind: str | None = Field(
        default=None, min_length=1, max_length=63, pattern=NO_NUL, description="of defect"
    )
    why: str = Field(
        default="", max_length=500, pattern=NO_NUL, description="in the inspector's words"
    )
    drawing: str | None = Field(
        default=None,
        max_length=MAX_SENT * 4 // 3 + 4,
        description="where the defect is: a PNG in base64 that covers the whole picture",
    )
    seen: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST_NUMBER,
        description="`number` of the last label that the inspector was shown, 0: none; what others "
        "have said since is kept beside this label, not replaced; null: they knew all of it",
    )

    @model_validator(mode="after")
    def _good_parts_have_no_defect(self) -> Self:
        if self.verdict == "pass" and self.kind is not None:
            raise ValueError("a part that should pass has no kind of defect: leave out `kind`")
        if self.verdict == "pass" and self.drawing is not None:
            raise ValueError("a part that should pass has no defect: leave out `drawing`")
        return self

    def mask(self) -> bytes | None:
        """The drawing as it is kept. Raises SettingsError."""
        if self.drawing is None:
            return None
        try:
            return mask_of(base64.b64decode(self.drawing, validate=True))
        except (binascii.Error, ValueError) as error:
            raise SettingsError(f"drawing: {error}", fix="send a PNG in base64") from error


class SignedLabel(GivenLabel):
    """The same, with who says it where the caller has no account."""

    inspector: str | None = Inspector


class PartLabelled(GivenLabel):
    """The label of one of several parts."""

    device: str = Field(max_length=63, pattern=NO_NUL)
    boot: str = Field(max_length=64, pattern=NO_NUL)
    sequence: int = Field(ge=1, le=LARGEST_NUMBER)


class GivenLabels(BaseModel):
    """Labels of different parts: all of them are kept, or none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[PartLabelled] = Field(min_length=1, max_length=MOST_AT_ONCE)
    inspector: str | None = Inspector

    @model_validator(mode="after")
    def _of_different_parts(self) -> Self:
        if len({(one.device, one.boot, one.sequence) for one in self.labels}) < len(self.labels):
            raise ValueError("two labels are of one part: send one of each")
        return self


class TakenBack(BaseModel):
    """Labels that were said by mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: list[Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]] = Field(
        min_length=1, max_length=MOST_AT_ONCE, description="`number` of each"
    )
    inspector: str | None = Inspector


class LabelDesk:
    """Takes what inspectors say, and passes it on.

    labelled   called after each change
    """

    def __init__(
        self, records: Records, history: LabelHistory, labelled: Callable[[], None]
    ) -> None:
        self.history = history
        self._records = records
        self._labelled = labelled

    def say(
        self,
        labels: Sequence[tuple[InspectionKey, GivenLabel]],
        caller: Caller,
        inspector: str | None,
    ) -> list[Outcome]:
        """Raises NotFound for a part that there is not, SettingsError, RecordsError."""
        name = caller.signs(inspector, "inspector")
        said = [self._said(key, label, name) for key, label in labels]
        outcomes = self.history.say(said, caller)
        self._labelled()
        return outcomes

    def take_back(
        self, numbers: Sequence[int], caller: Caller, inspector: str | None
    ) -> list[Outcome]:
        """Raises AccessRefused for another one's, SettingsError, RecordsError."""
        name = caller.signs(inspector, "inspector")
        anybodys = caller.proven and caller.may("engineer", "label")
        outcomes = self.history.take_back(numbers, caller, name, anybodys=anybodys)
        self._labelled()
        return outcomes

    def _said(self, key: InspectionKey, label: GivenLabel, inspector: str) -> Said:
        view = find(self._records, key)
        return Said(
            key,
            view.site,
            view.line,
            label.verdict,
            label.kind,
            inspector,
            label.why.strip(),
            label.mask(),
            label.seen,
            judgement_of(view),
        )


def label_routes(
    records: Records, desk: LabelDesk, agreement: Callable[[], list[InspectorAgreement]]
) -> APIRouter:
    """Labelling under /api."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})
    said_here = [needs("inspector", "label", OWN_ENTRY)]

    @routes.put(
        "/inspections/{device}/{boot}/{sequence}/review",
        responses={404: {"model": Problem}},
        dependencies=said_here,
    )
    def review(
        device: Name, boot: Name, sequence: PartSequence, label: SignedLabel, caller: SignedIn
    ) -> InspectionView:
        """An inspector's label of the part; earlier ones stay in its history.

        It settles a part that was given to review or that the deadline diverted. It travels on to
        the device, which keeps the picture longer and learns from both.
        """
        key = InspectionKey(device, boot, sequence)
        desk.say([(key, label)], caller, label.inspector)
        return find(records, key)

    @routes.get(
        "/inspections/{device}/{boot}/{sequence}/labels",
        responses={404: {"model": Problem}},
        dependencies=[needs("viewer")],
    )
    def said(device: Name, boot: Name, sequence: PartSequence) -> list[EntryView]:
        """Everything that inspectors said of the part, newest first."""
        key = InspectionKey(device, boot, sequence)
        find(records, key)
        return desk.history.of(key)

    @routes.get(
        "/inspections/{device}/{boot}/{sequence}/labels/{number}/drawing.png",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}}, "description": "a PNG of one bit a pixel"},
            404: {"model": Problem},
        },
        dependencies=[needs("viewer")],
    )
    def drawing(device: Name, boot: Name, sequence: PartSequence, number: PartSequence) -> Response:
        """Where the inspector drew that the defect is, over the whole picture."""
        found = desk.history.drawing(InspectionKey(device, boot, sequence), number)
        if found is None:
            raise NotFound(
                f"there is no drawing of label {number}", fix="`drawn` of a label says so"
            )
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(found, media_type="image/png", headers=headers)

    @routes.post("/labels", responses={404: {"model": Problem}}, dependencies=said_here)
    def labels(given: GivenLabels, caller: SignedIn) -> list[OutcomeView]:
        """Labels of several parts, in the same order: all of them are kept, or none."""
        parts = [(InspectionKey(one.device, one.boot, one.sequence), one) for one in given.labels]
        return [OutcomeView.of(one) for one in desk.say(parts, caller, given.inspector)]

    @routes.post("/labels/undo", dependencies=said_here)
    def undo(given: TakenBack, caller: SignedIn) -> list[OutcomeView]:
        """Take labels back: what was said before stands again; where that is nothing, the part
        waits again and its device forgets the label. Engineers may take back others'."""
        return [
            OutcomeView.of(one) for one in desk.take_back(given.numbers, caller, given.inspector)
        ]

    @routes.get("/labels/agreement", dependencies=[needs("viewer")])
    def agreed() -> list[InspectorAgreement]:
        """How far inspectors agree who did not know what the other had said: over all, by line, by
        kind of defect and by pair of inspectors."""
        return agreement()

    return routes
