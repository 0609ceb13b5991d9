"""Scripts and styles: compressed once, kept by browsers for as long as they are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from cloud.app import create_app
from cloud.dashboard.pages import STATIC
from cloud.records.database import Database
from cloud.web.assets import FOR_EVER, Assets
from cloud.web.context import Backstage
from cloud.web.problems import handle_problems
from shared.web.html import BASE, environment
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE as URL
from tests.cloud.web.test_api import healthy

TEMPLATES = sorted(
    path
    for folder in (BASE, *(STATIC.parents[2] / wing for wing in ("cloud", "fleet")))
    for path in folder.rglob("*.html")
)
NAMED = re.compile(r'(?:src|href)="(/static/[^"]+)"')


@pytest.fixture
def caller(database: Database) -> Caller:
    return Caller(create_app(Backstage(database, healthy)), URL)


def test_every_asset_that_a_page_names_is_there_under_the_mark_of_its_content(
    caller: Caller,
) -> None:
    named = NAMED.findall(caller.get("/").text)
    assert len(named) >= 5
    for address in named:
        answer = caller.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == FOR_EVER, address


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_names_an_asset_that_is_not_there(template: Path) -> None:
    known = Assets(STATIC, "/static").addresses
    assert {path for path in NAMED.findall(template.read_text()) if path not in known} == set()


def test_an_asset_comes_packed_to_whoever_reads_that(caller: Caller) -> None:
    path = "/static/splitsight.css"
    content = (STATIC / "splitsight.css").read_bytes()
    plain = caller.get(path, headers={"accept-encoding": "identity"})
    assert plain.content == content
    assert "content-encoding" not in plain.headers
    packed = caller.get(path, headers={"accept-encoding": "gzip;q=0.8, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == content
    assert int(packed.headers["content-length"]) < len(content) / 2
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_what_a_browser_has_is_not_sent_again(caller: Caller) -> None:
    path = "/static/live.js"
    first = caller.get(path)
    again = caller.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # Under the address of another release it may be another file by now.
    for other in (path, f"{path}?v=000000000000"):
        assert caller.get(other).headers["cache-control"] == "no-cache"


def test_another_content_has_another_address(tmp_path: Path) -> None:
    found = []
    for content in ("let a = 1;", "let a = 2;"):
        (tmp_path / "a.js").write_text(content)
        found.append(Assets(tmp_path, "/static").addresses["/static/a.js"])
    assert len(set(found)) == 2


def test_nothing_beside_the_folder_is_served(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "secret").write_text("no")
    (tmp_path / "static" / "a.js").write_text("let a = 1;" * 99)
    app = FastAPI()
    handle_problems(app)
    app.mount("/static", Assets(tmp_path / "static", "/static"))
    caller = Caller(app, URL)
    assert caller.get("/static/a.js").status_code == 200
    for path in ("/static/%2e%2e/secret", "/static/..%2fsecret", "/static/", "/static/b.js"):
        assert caller.get(path).status_code == 404, path
    refused = caller.post("/static/a.js")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_template_names_assets_as_they_are_served(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<script src="/static/a.js"></script><a href="/static/b.css">{{ text }}</a>'
    )
    marked = environment(tmp_path, assets={"/static/a.js": "/static/a.js?v=1"})
    html = marked.get_template("a.html").render(text='src="/static/a.js"')
    assert html.startswith('<script src="/static/a.js?v=1"></script><a href="/static/b.css">')
    assert html.count("?v=1") == 1
