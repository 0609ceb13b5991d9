"""Where an engineer has inspectors look again at labels that a data set's scores dispute."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.labels.disputes import DisputeDesk, DisputeState
from cloud.records.queries import NO_NUL
from cloud.web.labels import MOST_AT_ONCE, SignedIn
from cloud.web.problems import Problem
from shared.contracts import InspectionKey
from shared.inspection import LARGEST_NUMBER
from shared.web.roles import OWN_ENTRY, needs


class DisputedPart(BaseModel):
    """A part whose label is likely wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(max_length=63, pattern=NO_NUL)
    boot: str = Field(max_length=64, pattern=NO_NUL)
    sequence: int = Field(ge=1, le=LARGEST_NUMBER)
    worth: float = Field(ge=0, le=1, description="how sure it is that the label is wrong")

    @property
    def key(self) -> InspectionKey:
        return InspectionKey(self.device, self.boot, self.sequence)


class DisputedParts(BaseModel):
    """Different parts: of all of them inspectors are asked, or of none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: list[DisputedPart] = Field(min_length=1, max_length=MOST_AT_ONCE)

    @model_validator(mode="after")
    def _of_different_parts(self) -> Self:
        if len({one.key for one in self.parts}) < len(self.parts):
            raise ValueError("one part came twice: send each once")
        return self


class DisputeAnswer(BaseModel):
    """What becomes of one of them."""

    device: str
    boot: str
    sequence: int
    state: DisputeState = Field(
        description="asked: another inspector is; waiting: one is already; settled: two or more "
        "agree on the label; unlabelled: it has no label here"
    )


def dispute_routes(desk: DisputeDesk) -> APIRouter:
    """Disputes under /api."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})

    @routes.post("/labels/disputes", dependencies=[needs("engineer", "label", OWN_ENTRY)])
    def dispute(disputed: DisputedParts, caller: SignedIn) -> list[DisputeAnswer]:
        """Have another inspector look at each of these parts, who is not told its label."""
        states = desk.ask({one.key: one.worth for one in disputed.parts}, caller)
        return [DisputeAnswer(**one.key._asdict(), state=states[one.key]) for one in disputed.parts]

    return routes
