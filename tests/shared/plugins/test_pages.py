"""A page that is plugged in stays where it says, behind the locks of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import APIRouter
from starlette.responses import Response

from shared.clock import ManualClock
from shared.errors import SettingsError
from shared.plugins.pages import Page, PageContext
from shared.web.html import environment


def page_at(path: str, *routes: str) -> Page[PageContext]:
    """A page whose routes lie at these paths."""

    def open_page(context: PageContext) -> APIRouter:
        made = APIRouter()
        for route in routes:
            made.get(route)(lambda: context.render("one.html"))
        return made

    return Page("One", path, Path(), open_page)


def opened(page: Page[PageContext], *taken: str) -> APIRouter:
    return page.routes(PageContext(ManualClock(), environment()), taken)


def test_all_routes_of_a_page_lie_below_its_path() -> None:
    routes = opened(page_at("/one", "/one", "/one/{part}"), "/api", "/onerous")
    assert len(routes.routes) == 2


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (page_at("one", "one"), "'one' can't be a page's path"),
        (page_at("/one/", "/one/"), "can't be a page's path"),
        (page_at("/api", "/api"), "the path /api is taken"),
        (page_at("/api/one", "/api/one"), "the path /api/one is taken"),
        (page_at("/one"), "has no route"),
        (page_at("/one", "/one", "/static/open"), "has /static/open; let each of its routes begin"),
        (page_at("/one", "/onerous"), "has /onerous"),
    ],
)
def test_a_page_that_reaches_further_is_refused(page: Page[PageContext], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        opened(page, "/api", "/static")
    assert said in str(caught.value)


def test_what_a_page_shows_is_escaped_and_in_the_look_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text(
        '{% extends "base.html" %}{% block body %}{{ told }} {{ bytes|size }}{% endblock %}'
    )
    page = page_at("/one", "/one")
    context = PageContext(ManualClock(), environment(tmp_path, pages=[page]))
    answer: Response = context.render("one.html", told="<b>", bytes=1400)
    text = bytes(answer.body).decode()
    assert "&lt;b&gt; 1.4 kB" in text
    assert '<a href="/one">One</a>' in text
    assert answer.headers["cache-control"] == "no-store"
