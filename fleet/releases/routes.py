"""The registry over HTTP: for programs and for people."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from fleet.releases.catalogue import Catalogue, described
from fleet.releases.drafts import Drafts
from fleet.releases.tails import Tails
from shared.errors import ReleaseError
from shared.plugins.pages import Page, PageContext
from shared.web.roles import needs

PAGE = "/fleet/releases"
SOON = timedelta(days=14)


def release_routes(drafts: Drafts, catalogue: Catalogue, tails: Tails) -> APIRouter:
    """Read only: what changes releases needs keys, which the cloud has not got."""
    routes = APIRouter(dependencies=[needs("viewer")])
    store = drafts.store

    @routes.get("/api/fleet/releases")
    def releases() -> dict[str, Any]:
        """Every release with lineage, promises and approval, and how far each role is signed."""
        if not store.exists:
            return {"releases": [], "roles": []}
        return {
            "releases": [described(entry) for entry in catalogue.entries()],
            "roles": [asdict(row) for row in drafts.standing()],
        }

    @routes.get("/api/fleet/tails")
    def served_tails() -> list[dict[str, Any]]:
        """Every tail: which devices and releases need it, and whether it may be dropped."""
        return [asdict(row) for row in tails.states()]

    return routes


def elsewhere(keeper: str) -> APIRouter:
    """Of a worker that does not keep the fleet: who asks it hears which one does."""
    routes = APIRouter(include_in_schema=False, dependencies=[needs("viewer")])

    @routes.api_route("/api/fleet/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def kept_elsewhere(rest: str) -> Response:
        raise ReleaseError(
            f"/api/fleet/{rest[:80]} is not answered here: the fleet's folder is kept by {keeper}",
            fix="ask that worker of this cloud",
        )

    return routes


def release_page(drafts: Drafts, catalogue: Catalogue, tails: Tails) -> Page[PageContext]:
    """The same for people."""

    def routes_with(context: PageContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def page() -> Response:
            founded = drafts.store.exists
            return context.render(
                "releases.html",
                founded=founded,
                entries=catalogue.entries() if founded else [],
                tails=tails.states(),
                roles=drafts.standing() if founded else [],
                late=drafts.expiring(SOON) if founded else [],
            )

        return routes

    folder = Path(__file__).parent / "templates"
    return Page("Releases", PAGE, folder, routes_with, group="Fleet", order=40)
