"""Starting a rollout by page: choose, see rings and boxes, then begin."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleet.rollouts import wording
from fleet.rollouts.controller import RolloutController
from fleet.rollouts.plan_form import APPROVALS, FIELDS, Published, plan_of
from fleet.rollouts.rollout import Rollout
from shared.errors import SettingsError, SplitsightError
from shared.plugins.pages import PageContext
from shared.web.access import Visit, visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

MOST_NAMED = 12


class PlanQuery(BaseModel):
    """What the form asks for, as it stands in the page's address."""

    target: str = ""
    canary: str = ""
    approval: str = ""
    soak_min: str = ""
    at_once: str = ""


class PreviewPages:
    """`new` shows what would begin, under an address that can be sent to a colleague."""

    def __init__(
        self, conductor: RolloutController, context: PageContext, published: Published
    ) -> None:
        self._conductor = conductor
        self._render = context.render
        self._published = published

    def add_to(self, routes: APIRouter) -> None:
        looks = [needs("engineer", "rollout")]
        routes.get("/rollouts/new", dependencies=looks)(self.choose)
        begins = [needs("engineer", "rollout", OWN_ENTRY)]
        routes.post("/rollouts/new", dependencies=begins)(self.begin)

    def choose(self, asked: Annotated[PlanQuery, Query()]) -> Response:
        """The form; with a release, what it would do."""
        return self._form({name: text for name, text in asked.model_dump().items() if text})

    async def begin(self, request: Request) -> Response:
        fields = await form_fields(request)
        visit = visit_of(request)
        try:
            id_ = await run_in_threadpool(self._begin, fields, visit)
        except SplitsightError as error:
            told = {"refused": error.message, "fix": error.fix}
            return await run_in_threadpool(lambda: self._form(fields, 409, **told))
        return RedirectResponse(f"/fleet/rollouts/{id_}", status_code=303)

    def _begin(self, fields: dict[str, str], visit: Visit) -> int:
        target, plan = fields.get("target", ""), plan_of(fields)
        by = self._conductor.signed(visit.caller, fields.get("by", "")[:63])
        asked = {name: fields[name] for name in FIELDS if fields.get(name)}
        visit.asked = visit.caller.did("rollout start", target, after=asked, said=by)
        visit.trail.record(visit.asked)
        return self._conductor.begin(target, plan, by).rollout.id

    def _form(
        self, fields: dict[str, str], status: int = 200, refused: str = "", fix: str = ""
    ) -> Response:
        releases = sorted(
            self._published(), key=lambda facts: (facts.kind, facts.name, -facts.counter)
        )
        target = fields.get("target", "")
        rollout: Rollout | None = None
        try:
            if target and not refused:
                rollout = self._conductor.preview(target, plan_of(fields))
        except SplitsightError as error:
            status = 422 if isinstance(error, SettingsError) else 409
            refused, fix = error.message, error.fix
        return self._render(
            "start.html",
            status,
            releases=releases,
            target=target,
            fields={name: fields.get(name, "") for name in FIELDS},
            approvals=APPROVALS,
            refused=refused,
            fix=fix,
            rings=_rings(rollout) if rollout else [],
            aside=_aside(rollout) if rollout else [],
            waits=rollout is not None and rollout.state == "gated",
            words=wording,
        )


def _rings(rollout: Rollout) -> list[dict[str, Any]]:
    """What each ring would ask, in order."""
    shown = []
    for number, ring in enumerate(rollout.plan.rings):
        names = [member.address.device for member in rollout.of_ring(number)]
        shown.append(
            {
                "ring": ring,
                "count": len(names),
                "named": names[:MOST_NAMED],
                "more": max(0, len(names) - MOST_NAMED),
            }
        )
    return shown


def _aside(rollout: Rollout) -> list[tuple[str, int]]:
    """Why boxes are set aside, and how many each."""
    reasons = Counter(m.reason for m in rollout.members.values() if m.phase == "aside")
    return reasons.most_common()
