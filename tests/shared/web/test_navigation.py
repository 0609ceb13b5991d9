"""The navigation shows each caller the pages that are theirs, in groups."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from jinja2 import Environment, StrictUndefined

from shared.plugins.pages import Page, PageContext
from shared.web.access import Caller, Role
from shared.web.html import BASE, environment
from shared.web.navigation import navigation


def page(title: str, group: str, order: int = 50, **more: object) -> Page[PageContext]:
    role: Role = "admin" if more.pop("admin", False) else "viewer"
    listed = bool(more.pop("listed", True))
    path = f"/{title.lower()}"
    routes = lambda _: APIRouter()  # noqa: E731 - nothing is asked of it
    return Page(title, path, Path(), routes, role, group=group, order=order, listed=listed)


def titles(found: list[tuple[str, list[Page[PageContext]]]]) -> list[tuple[str, list[str]]]:
    return [(group, [one.title for one in pages]) for group, pages in found]


PAGES = [
    page("Mine", "More"),
    page("People", "House", admin=True),
    page("Wall", "Now", 20),
    page("Live", "Now", 10),
    page("Part", "Parts", listed=False),
    page("Ovens", "Bakery"),
]


def test_groups_and_pages_stand_in_their_order_and_strange_ones_before_the_last() -> None:
    assert titles([(group, list(pages)) for group, pages in navigation(PAGES)]) == [
        ("Now", ["Live", "Wall"]),
        ("House", ["People"]),
        ("Bakery", ["Ovens"]),
        ("More", ["Mine"]),
    ]


def test_nobody_is_led_to_a_page_that_they_may_not_look_at() -> None:
    viewer = Caller("vic", "viewer")
    assert "House" not in dict(navigation(PAGES, viewer))
    assert "House" in dict(navigation(PAGES, Caller("ada", "admin")))
    assert navigation(PAGES, Caller("", None)) == []


def test_the_page_that_one_is_on_is_marked_and_only_that() -> None:
    template = environment(pages=PAGES, here="/wall").get_template("base.html")
    html = template.render()
    assert '<a href="/wall" aria-current="page">Wall</a>' in html
    assert html.count("aria-current") == 1


def test_what_is_confirmed_says_first_what_will_happen_and_escapes_it() -> None:
    words = environment()
    assert isinstance(words, Environment)
    assert words.undefined is StrictUndefined
    assert (BASE / "macros.html").exists()
    html = words.from_string(
        '{% from "macros.html" import confirm %}'
        '{% call confirm("a", "/rollouts/7", "Abort", "Abort m 2?", told, {"do": "abort"}) %}'
        "<label>Why</label>{% endcall %}"
    ).render(told="40 boxes go back to <1.1.0>")
    assert "40 boxes go back to &lt;1.1.0&gt;" in html
    assert '<input type="hidden" name="do" value="abort">' in html
    assert (
        html.index("40 boxes") < html.index("<label>Why</label>") < html.rindex(">Abort</button>")
    )
