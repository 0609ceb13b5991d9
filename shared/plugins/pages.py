"""Pages for people: each has a link in the navigation, the look of the others and their locks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from jinja2 import Environment
from markupsafe import Markup
from starlette.responses import HTMLResponse, StreamingResponse

from shared.clock import Clock
from shared.errors import SettingsError
from shared.plugins.group import PluginGroup
from shared.web.access import Role
from shared.web.roles import needs

# Where a template writes `{{ so_far }}`; to a browser it is a comment.
SO_FAR = Markup("<!-- what follows takes longer -->")
UNKEPT = {"cache-control": "no-store"}
PATH = re.compile(r"(/[a-z0-9][a-z0-9-]*)+")


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a page is lent.

    templates   its own, over `base.html`
    """

    clock: Clock
    templates: Environment

    def render(self, template: str, status: int = 200, **facts: object) -> HTMLResponse:
        """A template of the page, filled with these facts."""
        html = self.templates.get_template(template).render(facts)
        return HTMLResponse(html, status_code=status, headers=UNKEPT)

    def stream(self, template: str, **facts: object) -> StreamingResponse:
        """The same, sent in pieces: what stands before `{{ so_far }}` in it is there at once, and
        only then is called what the template calls behind it."""
        made = self.templates.get_template(template).generate({**facts, "so_far": SO_FAR})
        return StreamingResponse(_pieces(made), media_type="text/html", headers=UNKEPT)


C = TypeVar("C", bound=PageContext)


@dataclass(frozen=True, slots=True)
class Page(Generic[C]):
    """What an entry point of `splitsight.pages` names, and what a service shows of itself.

    title       in the navigation
    path        of the page
    templates   the folder that holds them; they extend `base.html`
    open        its routes, whose paths are put behind the page's own: "" is the page itself
    role        who may look, at least; None: each route says so itself
    changes     who may send its forms, at least; None: as above
    group       of the navigation, as in `shared.web.navigation.GROUPS`
    order       in its group; smaller comes first, and of equal ones the one that was added first
    listed      whether the navigation shows it
    """

    title: str
    path: str
    templates: Path
    open: Callable[[C], APIRouter]
    role: Role | None = "viewer"
    changes: Role | None = "engineer"
    group: str = "More"
    order: int = 50
    listed: bool = True

    def routes(self, context: C) -> APIRouter:
        """All of it, behind its path."""
        routes = APIRouter()
        routes.include_router(
            self.open(context),
            prefix=self.path.rstrip("/"),
            include_in_schema=False,
            dependencies=self._needs(),
        )
        return routes

    def _needs(self) -> list[Any]:
        looks = [needs(self.role)] if self.role else []
        sends = [needs(self.changes, what=f"form of {self.path}", changing=True)]
        return [*looks, *(sends if self.changes else [])]

    def require_free(self, taken: Iterable[str]) -> None:
        """Raises SettingsError for a path that can't be, or that others have."""
        if PATH.fullmatch(self.path) is None:
            raise SettingsError(f"{self.path!r} can't be a page's path", fix="write /my-page")
        if any(within(self.path, path) or within(path, self.path) for path in taken):
            raise SettingsError(f"the path {self.path} is taken", fix="choose another for the page")


def _pieces(written: Iterable[str]) -> Iterator[str]:
    """Few of them: each goes through every layer of the app."""
    kept: list[str] = []
    for text in written:
        kept.append(text)
        if text == SO_FAR:
            yield "".join(kept)
            kept.clear()
    yield "".join(kept)


PAGES: PluginGroup[Page[Any]] = PluginGroup("splitsight.pages", "page", Page)


def within(path: str, other: str) -> bool:
    """Whether a path is another one, or below it."""
    return path == other or path.startswith(other + "/")
