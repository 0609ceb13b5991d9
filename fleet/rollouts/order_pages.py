"""The questions before a rollout goes another way, and the forms that answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleet.rollouts import wording
from fleet.rollouts.consequences import ORDERS, consequences, possible, touched
from fleet.rollouts.controller import RolloutController
from fleet.rollouts.rollout import Rollout
from fleet.rollouts.store import StoredRollout
from fleet.rollouts.views import view_of
from shared.errors import RolloutError, SplitsightError
from shared.plugins.pages import PageContext
from shared.web.access import Visit, visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
LONGEST_REASON = 300


class OrderPages:
    """Each order has a page that says what it would do; its form does it.

    missing   the fleet's page with what is wrong on top
    """

    def __init__(
        self,
        conductor: RolloutController,
        context: PageContext,
        missing: Callable[[str, str, int], Response],
    ) -> None:
        self._conductor = conductor
        self._render = context.render
        self._missing = missing

    def add_to(self, routes: APIRouter) -> None:
        engineer = [needs("engineer", "rollout")]
        routes.get("/rollouts/{id_}/{do}", dependencies=engineer)(self.question)
        orders = [needs("engineer", "rollout", OWN_ENTRY)]
        routes.post("/rollouts/{id_}", dependencies=orders)(self.order)

    def question(self, id_: Id, do: str) -> Response:
        """What would happen, and a form with one button."""
        try:
            return self._question(self._conductor.find(id_), do)
        except RolloutError as error:
            return self._missing(error.message, error.fix, 404)

    async def order(self, request: Request, id_: Id) -> Response:
        fields = await form_fields(request)
        try:
            answer = await run_in_threadpool(self._obey, id_, fields, visit_of(request))
        except SplitsightError as error:
            return await run_in_threadpool(self._missing, error.message, error.fix, 409)
        return answer or RedirectResponse("/fleet", status_code=303)

    def _obey(self, id_: int, fields: dict[str, str], visit: Visit) -> Response | None:
        """None where it is done; else the question, as things are now."""
        do, reason = fields.get("do", ""), fields.get("reason", "").strip()[:LONGEST_REASON]
        if do not in ORDERS:
            raise RolloutError("the form says nothing to do", fix="use the buttons on /fleet")
        kept = self._conductor.find(id_)
        if do == "abort" and do in self._orders(kept.rollout):
            # Nobody gives back more boxes than they were told of.
            now, seen = touched(kept.rollout), fields.get("boxes", "")
            if seen != str(now):
                return self._question(kept, do, status=409, changed=bool(seen))
        by = self._conductor.signed(visit.caller, fields.get("by", "")[:63])
        facts = {"reason": reason} if reason else None
        visit.asked = visit.caller.did(f"rollout {do}", str(id_), after=facts, said=by)
        visit.trail.record(visit.asked)
        match do:
            case "abort":
                self._conductor.abort(id_, by, reason)
            case "approve":
                self._conductor.approve(id_, by)
            case "resume":
                self._conductor.resume(id_, by)
            case _:
                self._conductor.pause(id_, by)
        return None

    def _orders(self, rollout: Rollout) -> list[str]:
        return possible(rollout, last=self._conductor.is_last(rollout))

    def _question(
        self, kept: StoredRollout, do: str, *, status: int = 200, changed: bool = False
    ) -> Response:
        rollout = kept.rollout
        if do not in ORDERS:
            raise RolloutError(f"{do[:40]!r} is nothing to do with a rollout", fix="see /fleet")
        if do not in self._orders(rollout):
            state = wording.STATE_WORDS[rollout.state]
            raise RolloutError(
                f"rollout {rollout.id} takes no {do} now: it is {state}",
                fix=f"see /fleet/rollouts/{rollout.id}",
            )
        return self._render(
            "order.html",
            status,
            view=view_of(kept),
            do=do,
            told=consequences(rollout, do),
            boxes=touched(rollout),
            changed=changed,
            words=wording,
        )
