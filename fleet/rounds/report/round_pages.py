"""Federated rounds as pages: every run with its curves, who took part, and what it came to."""

from __future__ import annotations

from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import FileResponse, Response

from fleet.rounds.report.runs import FoundRun, RunFolders
from shared.errors import FederationError
from shared.plugins.pages import Page, PageContext

TEMPLATES = File(__file__).parent / "templates"
STATIC = File(__file__).parent / "static"
HOME = "/rounds"
# A run that has written nothing for longer than a round may take has stopped, as far as we know.
QUIET_S = 3600.0
Name = Annotated[str, Path(max_length=128)]


def rounds_page(runs: RunFolders) -> Page[PageContext]:
    def routes_with(context: PageContext) -> APIRouter:
        routes, render = APIRouter(), context.render

        def page(status: int = 200, error: FederationError | None = None) -> Response:
            return render(
                "rounds.html",
                status,
                runs=runs.all(),
                state=state,
                root=runs.root,
                visible=runs.visible,
                error=error,
            )

        def state(run: FoundRun) -> str:
            return state_of(run, context.clock.utc())

        @routes.get("")
        def all_runs() -> Response:
            return page()

        @routes.get("/rounds.js")
        def script() -> Response:
            return FileResponse(STATIC / "rounds.js", headers={"cache-control": "max-age=300"})

        @routes.get("/run/{name}")
        def one(name: Name) -> Response:
            try:
                run = runs.find(name)
            except FederationError as error:
                return page(404, error)
            dropped = [(record.round, out) for record in run.history for out in record.aside]
            late = [(record.round, who) for record in run.history for who in record.late]
            return render("run.html", run=run, state=state(run), dropped=dropped, late=late)

        return routes

    return Page("Rounds", HOME, TEMPLATES, routes_with, changes=None, group="Fleet", order=20)


def state_of(run: FoundRun, now: float) -> str:
    """Where a run stands, in words."""
    if run.problem:
        return "can't be read"
    if run.ended:
        return "ended"
    done, wanted = len(run.history), run.wanted or len(run.history)
    if done >= wanted:
        return "all rounds done, its report is being made"
    if now - run.changed_at > QUIET_S:
        return f"stopped after round {done} of {wanted}: start it again, and it goes on from there"
    return f"under way: round {done + 1} of {wanted}"
