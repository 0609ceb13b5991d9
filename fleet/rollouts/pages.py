"""What people see of the fleet: rollouts with their rings, devices with their health."""

from __future__ import annotations

from pathlib import Path as File
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path
from starlette.responses import FileResponse, Response

from fleet.rollouts import wording
from fleet.rollouts.consequences import possible
from fleet.rollouts.controller import RolloutController
from fleet.rollouts.order_pages import OrderPages
from fleet.rollouts.plan_form import Published
from fleet.rollouts.preview_pages import PreviewPages
from fleet.rollouts.rollout import ACTIVE
from fleet.rollouts.setting_pages import SettingPages
from fleet.rollouts.shadow import health_of
from fleet.rollouts.store import StoredRollout
from fleet.rollouts.views import RolloutView, detail_of, view_of
from shared.errors import RolloutError, SettingsError
from shared.plugins.pages import Page, PageContext

STATIC = File(__file__).parent / "static"
TEMPLATES = File(__file__).parent / "templates"
HOME = "/fleet"
MOST_ROLLOUTS = 10
MOST_DEVICES = 200
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Name = Annotated[str, Path(max_length=63)]


class ShownRollout(NamedTuple):
    """A rollout with what people can say to it now."""

    view: RolloutView
    orders: list[str]


def fleet_page(conductor: RolloutController, published: Published = tuple) -> Page[PageContext]:
    """published: the releases that can be rolled out"""

    def routes_with(context: PageContext) -> APIRouter:
        pages = FleetPages(conductor, context)
        routes = APIRouter()
        # What begins with a word comes before what begins with a number.
        PreviewPages(conductor, context, published).add_to(routes)
        SettingPages(conductor, context).add_to(routes)
        pages.add_to(routes)
        OrderPages(conductor, context, pages.missing).add_to(routes)
        return routes

    return Page("Fleet", HOME, TEMPLATES, routes_with, changes=None, group="Fleet", order=30)


class FleetPages:
    """Pages to look at."""

    def __init__(self, conductor: RolloutController, context: PageContext) -> None:
        self._conductor = conductor
        self._clock = context.clock
        self._render = context.render

    def add_to(self, routes: APIRouter) -> None:
        routes.get("")(self.home)
        routes.get("/fleet.{kind}")(self.static)
        routes.get("/devices/part")(self.device_rows)
        routes.get("/devices/{site}/{line}/{device}")(self.device)
        routes.get("/devices/{site}/{line}/{device}/part")(self.device_part)
        routes.get("/rollouts/part")(self.rollouts_part)
        routes.get("/rollouts/{id_}")(self.rollout)
        routes.get("/rollouts/{id_}/part")(self.rollout_part)

    def home(self) -> Response:
        return self._render("fleet.html", **self._rollouts() | self._devices())

    def missing(self, refused: str, fix: str = "", status: int = 404) -> Response:
        """The fleet's page with what is wrong on top."""
        return self._render(
            "fleet.html", status, refused=refused, fix=fix, **self._rollouts() | self._devices()
        )

    def static(self, kind: str) -> Response:
        if kind not in {"css", "js"}:
            return self.missing("there is no such page")
        return FileResponse(STATIC / f"fleet.{kind}", headers={"cache-control": "max-age=300"})

    def device_rows(self) -> Response:
        return self._render("fragments/fleet_devices.html", **self._devices())

    def rollouts_part(self) -> Response:
        return self._render("fragments/rollouts.html", **self._rollouts())

    def device(self, site: Name, line: Name, device: Name) -> Response:
        return self._device("device.html", f"{site}/{line}/{device}")

    def device_part(self, site: Name, line: Name, device: Name) -> Response:
        return self._device("fragments/device.html", f"{site}/{line}/{device}")

    def rollout(self, id_: Id) -> Response:
        return self._rollout("rollout.html", id_)

    def rollout_part(self, id_: Id) -> Response:
        return self._rollout("fragments/rollout_members.html", id_)

    def _device(self, template: str, name: str) -> Response:
        try:
            shadow, history = self._conductor.shadow(name)
        except SettingsError as error:
            return self.missing(error.message, error.fix)
        desired, reported = shadow.desired, shadow.reported
        kinds = {*(desired.targets if desired else ()), *(reported.running if reported else ())}
        return self._render(
            template,
            device=health_of(shadow, self._clock.utc()),
            desired=desired,
            reported=reported,
            kinds=sorted(kinds),
            settings=sorted((desired.settings or {}).items()) if desired else [],
            history=history,
            words=wording,
        )

    def _rollout(self, template: str, id_: int) -> Response:
        try:
            kept = self._conductor.find(id_)
        except RolloutError as error:
            return self.missing(error.message, error.fix)
        orders = possible(kept.rollout, last=self._conductor.is_last(kept.rollout))
        return self._render(
            template, view=detail_of(kept), orders=orders, active=ACTIVE, words=wording
        )

    def _rollouts(self) -> dict[str, Any]:
        shown = [self._shown(kept) for kept in self._conductor.rollouts()[:MOST_ROLLOUTS]]
        return {"rollouts": shown, "active": ACTIVE, "words": wording}

    def _shown(self, kept: StoredRollout) -> ShownRollout:
        last = self._conductor.is_last(kept.rollout)
        return ShownRollout(view_of(kept), possible(kept.rollout, last=last))

    def _devices(self) -> dict[str, Any]:
        rows = self._conductor.health()
        # Those that ask for attention are worth more than the alphabet.
        rows.sort(key=lambda row: (not row.failed, not row.held, not row.offline))
        shown = rows[:MOST_DEVICES]
        return {"devices": shown, "more": len(rows) - len(shown), "words": wording}
