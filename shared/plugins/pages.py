"""Pages for people: each has a link in the navigation, the look of the others and their locks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from jinja2 import Environment
from starlette.responses import HTMLResponse

from shared.clock import Clock
from shared.errors import SettingsError
from shared.plugins.group import PluginGroup

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
        return HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})


C = TypeVar("C", bound=PageContext)


@dataclass(frozen=True, slots=True)
class Page(Generic[C]):
    """What an entry point of `splitsight.pages` names, and what a service shows of itself.

    title       in the navigation
    path        of the page; those of all its routes begin with it
    templates   the folder that holds them; they extend `base.html`
    open        its routes
    """

    title: str
    path: str
    templates: Path
    open: Callable[[C], APIRouter]

    def routes(self, context: C, taken: Iterable[str] = ()) -> APIRouter:
        """What `open` gives.

        taken   paths that others have
        Raises SettingsError for a path that can't be, and for a route outside of the page's path,
        where other rules may hold.
        """
        if PATH.fullmatch(self.path) is None:
            raise SettingsError(f"{self.path!r} can't be a page's path", fix="write /my-page")
        if any(within(self.path, path) or within(path, self.path) for path in taken):
            raise SettingsError(f"the path {self.path} is taken", fix="choose another for the page")
        routes = self.open(context)
        found: list[Any] = routes.routes
        outside = [route.path for route in found if not within(route.path, self.path)]
        if outside or not found:
            raise SettingsError(
                f"the page {self.title} has {', '.join(outside) or 'no route'}",
                fix=f"let each of its routes begin with {self.path}",
            )
        return routes


PAGES: PluginGroup[Page[Any]] = PluginGroup("splitsight.pages", "page", Page)


def within(path: str, other: str) -> bool:
    """Whether a path is another one, or below it."""
    return path == other or path.startswith(other + "/")
