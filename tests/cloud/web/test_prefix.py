"""Below a path of its own, behind a reverse proxy."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from cloud.web.http_server import HttpServer
from cloud.web.prefix import PrefixedApp
from cloud.web.proxy import ProxiedApp
from shared.loopback import free_port
from shared.worker import DeadWorkers
from tests.cloud.makers import device, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import TOKEN, healthy
from tests.support.waiting import wait_until

BASE = "http://plant.example"
SAID = {
    "x-forwarded-prefix": "/vision",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "plant.example",
    "x-forwarded-for": "203.0.113.9",
}
LINK = re.compile(r'\s(?:href|src|action|hx-get|hx-post|sse-connect)="([^"]*)"')
READ = re.compile(r'\s(?:href|src)="([^"]*)"')


def app_of(database: Database) -> FastAPI:
    RecordStore(database).save(
        [inspection(2, decision="escalate", verdict="reject", decided_by="cloud")],
        [tail(2)],
        [device()],
    )
    return create_app(Backstage(database, healthy, token=TOKEN))


def signed_in(caller: Caller, path: str = "/sign-in", **options: Any) -> httpx.Response:
    return caller.post(path, data={"token": TOKEN}, **options)


@pytest.mark.parametrize("strips", [True, False])
def test_every_address_that_a_page_leads_to_lies_below_the_path(
    database: Database, strips: bool
) -> None:
    caller = Caller(PrefixedApp(app_of(database), "/vision"), BASE)
    below = "" if strips else "/vision"
    asked = caller.get(f"{below}/", headers={"accept": "text/html"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/vision/sign-in?to=/")
    welcome = signed_in(caller, f"{below}/sign-in?to=/inspections/box-1/b1/2")
    assert welcome.headers["location"] == "/vision/inspections/box-1/b1/2"
    assert "Path=/vision;" in welcome.headers["set-cookie"]
    cookie = {"cookie": welcome.headers["set-cookie"].partition(";")[0]}
    for path in ("/", "/inspections/box-1/b1/2"):
        page = caller.get(below + path, headers=cookie)
        assert page.status_code == 200
        assert int(page.headers["content-length"]) == len(page.content)
        links = [link for link in LINK.findall(page.text) if link.startswith("/")]
        assert len(links) > 3
        assert all(link.startswith("/vision/") for link in links), links


def test_a_path_counts_where_a_proxy_says_it_and_nowhere_else(database: Database) -> None:
    inside = PrefixedApp(app_of(database), "")
    # As httpx calls an app without a socket.
    trusting, other = ProxiedApp(inside, ["127.0.0.1"]), ProxiedApp(inside, ["10.0.0.1"])
    welcome = signed_in(Caller(trusting, BASE), headers=SAID)
    assert welcome.headers["location"] == "/vision/"
    assert signed_in(Caller(other, BASE), headers=SAID).headers["location"] == "/"


@pytest.mark.parametrize("said", ["//evil.example", "/a b", '/"><script>', "vision", "/a/../b\n"])
def test_a_prefix_that_is_no_path_changes_nothing(database: Database, said: str) -> None:
    caller = Caller(PrefixedApp(app_of(database), ""), BASE)
    welcome = signed_in(caller, headers={"x-forwarded-prefix": said.strip()})
    assert welcome.headers["location"] == "/"


NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /vision/ {{
      proxy_pass {url}{stripped};
      proxy_buffering off;
      proxy_http_version 1.1;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Prefix /vision;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, url: str, stripped: str) -> Iterator[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt install nginx-light")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, url=url, stripped=stripped))
    with (folder / "said").open("wb") as said:
        running = subprocess.Popen(
            [program, "-c", str(config), "-p", str(folder)], stdout=said, stderr=said
        )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(base).status_code > 0
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "nginx answers", within_s=20)
        yield base
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.process
@pytest.mark.parametrize("stripped", ["/", ""], ids=["stripped", "passed on"])
def test_people_sign_in_and_watch_through_nginx_below_a_path(
    tmp_path: Path, database: Database, stripped: str
) -> None:
    dead = DeadWorkers()
    server = HttpServer(app_of(database), "127.0.0.1", 0, dead, proxies=["127.0.0.1"])
    server.start()
    with nginx(tmp_path, server.url, stripped) as base, httpx.Client(base_url=base) as browser:
        browser.headers["accept"] = "text/html"
        asked = browser.get("/vision/", follow_redirects=True)
        assert asked.url.path == "/vision/sign-in"
        origin = {"origin": base}
        browser.post("/vision/sign-in", data={"token": TOKEN}, headers=origin)
        page = browser.get("/vision/")
        assert page.status_code == 200
        assert page.headers["content-encoding"] == "gzip"
        for link in set(READ.findall(page.text)):
            if link.startswith("/"):
                answer = browser.get(html.unescape(link))
                assert answer.status_code == 200, link
                if "?v=" in link:
                    assert "immutable" in answer.headers["cache-control"], link
        with browser.stream("GET", "/vision/events") as stream:
            lines = stream.iter_lines()
            text = next(line for line in lines if "/inspections/box-1/b1/2" in line)
            assert 'href="/vision/inspections/box-1/b1/2"' in text
    server.stop()
    assert dead.problems == []
