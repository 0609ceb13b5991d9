"""A page that is plugged in stays where it says, in the look of the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from shared.clock import ManualClock
from shared.errors import SettingsError
from shared.plugins.pages import SO_FAR, Page, PageContext
from shared.web.access import FixedAccess
from shared.web.html import environment
from tests.cloud.web.caller import Caller

TAKEN = ("/", "/api", "/static", "/onerous")


def page_at(path: str, *routes: str) -> Page[PageContext]:
    """A page with these routes, each of which answers with its own path."""

    def open_page(_: PageContext) -> APIRouter:
        made = APIRouter()
        for route in routes:
            made.get(route)(lambda: Response("here"))
        return made

    return Page("One", path, Path(), open_page)


def test_all_routes_of_a_page_lie_behind_its_path() -> None:
    app = FastAPI()
    page = page_at("/one", "", "/two", "/static/open")
    page.require_free(TAKEN)
    app.include_router(page.routes(PageContext(ManualClock(), environment())))
    app.add_middleware(FixedAccess)
    caller = Caller(app, "http://cloud")
    assert caller.get("/one").text == caller.get("/one/two").text == "here"
    assert caller.get("/one/static/open").text == "here"
    assert {caller.get(path).status_code for path in ("/two", "/static/open", "/")} == {404}
    assert "/one" not in caller.get("/openapi.json").text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("one", "'one' can't be a page's path; write /my-page"),
        ("/one/", "can't be a page's path"),
        ("/{one}", "can't be a page's path"),
        ("/api", "the path /api is taken"),
        ("/api/one", "the path /api/one is taken"),
    ],
)
def test_a_path_that_others_have_or_that_is_none_is_refused(path: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        page_at(path, "").require_free(TAKEN)
    assert said in str(caught.value)


def test_what_a_page_shows_is_escaped_and_in_the_look_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text(
        '{% extends "base.html" %}{% block body %}{{ told }} {{ bytes|size }}{% endblock %}'
    )
    page = page_at("/one", "")
    context = PageContext(ManualClock(), environment(tmp_path, pages=[page]))
    answer: Response = context.render("one.html", told="<b>", bytes=1400)
    text = bytes(answer.body).decode()
    assert "&lt;b&gt; 1.4 kB" in text
    assert '<a href="/one">One</a>' in text
    assert answer.headers["cache-control"] == "no-store"


def test_what_stands_before_is_sent_before_the_rest_is_looked_for(tmp_path: Path) -> None:
    written = "<p>{{ name }}</p>{{ so_far }}{% set found = look() %}<p>{{ found }}</p>"
    (tmp_path / "slow.html").write_text(written)
    asked: list[str] = []

    def look() -> str:
        asked.append("now")
        return "<3"

    context = PageContext(ManualClock(), environment(tmp_path))
    answer = context.stream("slow.html", name="a & b", look=look)

    async def heard() -> list[tuple[object, int]]:
        return [(piece, len(asked)) async for piece in answer.body_iterator]

    assert asyncio.run(heard()) == [(f"<p>a &amp; b</p>{SO_FAR}", 0), ("<p>&lt;3</p>", 1)]
    assert (answer.headers["cache-control"], answer.media_type) == ("no-store", "text/html")
