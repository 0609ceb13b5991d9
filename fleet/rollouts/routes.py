"""Rollouts and devices' shadows, under /api/fleet."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query

from fleet.rollouts.controller import RolloutController
from fleet.rollouts.requests import Configure, RolloutRequest, Start
from fleet.rollouts.shadow import DeviceHealth, health_of
from fleet.rollouts.views import (
    ChangeView,
    RolloutDetail,
    RolloutView,
    change_of,
    detail_of,
    view_of,
)
from shared.clock import Clock
from shared.web.access import Caller, caller_of
from shared.web.roles import needs

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Name = Annotated[str, Query(min_length=1, max_length=200, description="DEVICE or SITE/LINE/DEVICE")]
By = Annotated[Caller, Depends(caller_of)]
READS = [needs("viewer")]


def changes(what: str) -> list[Any]:
    """What each route needs that changes something."""
    return [needs("engineer", "rollout", what)]


def rollout_routes(conductor: RolloutController) -> APIRouter:
    """What people do to rollouts. Plain functions: each runs on a thread of its own."""
    routes = APIRouter(prefix="/api/fleet")

    @routes.post("/rollouts", status_code=201, dependencies=changes("rollout start"))
    def start(wanted: Start, caller: By) -> RolloutDetail:
        """Start a rollout."""
        by = conductor.signed(caller, wanted.by)
        return detail_of(conductor.begin(wanted.target, wanted.plan, by))

    @routes.get("/rollouts", dependencies=READS)
    def rollouts() -> list[RolloutView]:
        """Those under way and the newest others, newest first."""
        return [view_of(kept) for kept in conductor.rollouts()]

    @routes.get("/rollouts/{id_}", dependencies=READS)
    def status(id_: Id) -> RolloutDetail:
        """One rollout with its devices."""
        return detail_of(conductor.find(id_))

    @routes.post("/rollouts/{id_}/pause", dependencies=changes("rollout pause"))
    def pause(id_: Id, said: RolloutRequest, caller: By) -> RolloutDetail:
        """Ask no further device."""
        return detail_of(conductor.pause(id_, conductor.signed(caller, said.by)))

    @routes.post("/rollouts/{id_}/resume", dependencies=changes("rollout resume"))
    def resume(id_: Id, said: RolloutRequest, caller: By) -> RolloutDetail:
        """Go on."""
        return detail_of(conductor.resume(id_, conductor.signed(caller, said.by)))

    @routes.post("/rollouts/{id_}/approve", dependencies=changes("rollout approve"))
    def approve(id_: Id, said: RolloutRequest, caller: By) -> RolloutDetail:
        """Let the ring begin that waits for it."""
        return detail_of(conductor.approve(id_, conductor.signed(caller, said.by)))

    @routes.post("/rollouts/{id_}/abort", dependencies=changes("rollout abort"))
    def abort(id_: Id, said: RolloutRequest, caller: By) -> RolloutDetail:
        """Give every device back what it ran before."""
        return detail_of(conductor.abort(id_, conductor.signed(caller, said.by), said.reason))

    return routes


def device_routes(conductor: RolloutController, clock: Clock) -> APIRouter:
    """What is wanted of devices, and how they fare."""
    routes = APIRouter(prefix="/api/fleet")

    @routes.get("/health", dependencies=READS)
    def health() -> list[DeviceHealth]:
        """How every device fares."""
        return conductor.health()

    @routes.get("/shadow", dependencies=READS)
    def shadow(device: Name) -> dict[str, Any]:
        """What is wanted of a device, what it says, and how both changed."""
        found, told = conductor.shadow(device)
        return {
            "health": health_of(found, clock.utc()).model_dump(),
            "desired": msgspec.to_builtins(found.desired),
            "reported": msgspec.to_builtins(found.reported),
            "history": [change_of(one).model_dump() for one in told],
        }

    @routes.post("/settings", dependencies=changes("device settings"))
    def configure(wanted: Configure, caller: By) -> list[ChangeView]:
        """Want a device to run with other settings; how that was told, newest first."""
        by = conductor.signed(caller, wanted.by)
        conductor.configure(wanted.device, dict(wanted.settings), by)
        return [change_of(one) for one in conductor.shadow(wanted.device)[1]]

    return routes
