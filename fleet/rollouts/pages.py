"""What people see of the fleet: rollouts with their rings, devices with their health."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from fleet.rollouts import wording
from fleet.rollouts.controller import RolloutController
from fleet.rollouts.rollout import ACTIVE
from fleet.rollouts.shadow import health_of
from fleet.rollouts.store import StoredRollout
from fleet.rollouts.views import detail_of, view_of
from shared.errors import RolloutError, SettingsError, SplitsightError
from shared.plugins.pages import Page, PageContext
from shared.web.access import Visit, visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

STATIC = File(__file__).parent / "static"
TEMPLATES = File(__file__).parent / "templates"
HOME = "/fleet"
MOST_ROLLOUTS = 10
MOST_DEVICES = 200
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Name = Annotated[str, Path(max_length=63)]


def fleet_page(conductor: RolloutController) -> Page[PageContext]:
    def routes_with(context: PageContext) -> APIRouter:
        return FleetPages(conductor, context).routes()

    return Page("Fleet", HOME, TEMPLATES, routes_with, changes=None)


class FleetPages:
    """Pages to look at, and the forms on them."""

    def __init__(self, conductor: RolloutController, context: PageContext) -> None:
        self._conductor = conductor
        self._clock = context.clock
        self._render = context.render

    def routes(self) -> APIRouter:
        routes = APIRouter()
        routes.get("")(self.home)
        routes.get("/fleet.{kind}")(self.static)
        routes.get("/devices/part")(self.device_rows)
        routes.get("/devices/{site}/{line}/{device}")(self.device)
        routes.get("/rollouts/{id_}")(self.rollout)
        routes.get("/rollouts/{id_}/part")(self.rollout_part)
        orders = [needs("engineer", "rollout", OWN_ENTRY)]
        routes.post("/rollouts/{id_}", dependencies=orders)(self.order)
        return routes

    def home(self) -> Response:
        return self._home()

    def static(self, kind: str) -> Response:
        if kind not in {"css", "js"}:
            return self._home(404, "there is no such page")
        return FileResponse(STATIC / f"fleet.{kind}", headers={"cache-control": "max-age=300"})

    def device_rows(self) -> Response:
        return self._render("fragments/fleet_devices.html", **self._devices())

    def device(self, site: Name, line: Name, device: Name) -> Response:
        try:
            shadow, history = self._conductor.shadow(f"{site}/{line}/{device}")
        except SettingsError as error:
            return self._home(404, error.message, error.fix)
        desired, reported = shadow.desired, shadow.reported
        kinds = {*(desired.targets if desired else ()), *(reported.running if reported else ())}
        return self._render(
            "device.html",
            device=health_of(shadow, self._clock.utc()),
            desired=desired,
            reported=reported,
            kinds=sorted(kinds),
            history=history,
            words=wording,
        )

    def rollout(self, id_: Id) -> Response:
        try:
            view = detail_of(self._conductor.find(id_))
        except RolloutError as error:
            return self._home(404, error.message, error.fix)
        return self._render("rollout.html", view=view, words=wording)

    def rollout_part(self, id_: Id) -> Response:
        view = view_of(self._conductor.find(id_))
        return self._render("fragments/rollout.html", view=view, words=wording)

    async def order(self, request: Request, id_: Id) -> Response:
        fields = await form_fields(request)
        try:
            await run_in_threadpool(_obey, self._conductor, id_, fields, visit_of(request))
        except SplitsightError as error:
            return await run_in_threadpool(self._home, 409, error.message, error.fix)
        return RedirectResponse(HOME, status_code=303)

    def _home(self, status: int = 200, refused: str = "", fix: str = "") -> Response:
        views = [view_of(kept) for kept in self._conductor.rollouts()[:MOST_ROLLOUTS]]
        return self._render(
            "fleet.html",
            status,
            rollouts=views,
            active=ACTIVE,
            refused=refused,
            fix=fix,
            **self._devices(),
        )

    def _devices(self) -> dict[str, Any]:
        rows = self._conductor.health()
        # Those that ask for attention are worth more than the alphabet.
        rows.sort(key=lambda row: (not row.failed, not row.held, not row.offline))
        shown = rows[:MOST_DEVICES]
        return {"devices": shown, "more": len(rows) - len(shown), "words": wording}


def _obey(conductor: RolloutController, id_: int, fields: dict[str, str], visit: Visit) -> None:
    orders: dict[str, Callable[[int, str], StoredRollout]] = {
        "pause": conductor.pause,
        "resume": conductor.resume,
        "approve": conductor.approve,
        "abort": conductor.abort,
    }
    do = fields.get("do", "")
    if do not in orders:
        raise RolloutError("the form says nothing to do", fix="use the buttons on /fleet")
    by = conductor.signed(visit.caller, fields.get("by", "")[:63])
    visit.asked = visit.caller.did(f"rollout {do}", str(id_), said=by)
    visit.trail.record(visit.asked)
    orders[do](id_, by)
