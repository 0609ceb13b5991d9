"""Behind a proxy: its word of who calls counts, and nobody else's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from cloud.records.database import Database
from cloud.web.proxy import ProxiedApp
from tests.cloud.web.test_access import LABEL, SAID, SECRET, Site, site_of

PROXY, ELSEWHERE = "10.0.0.2", "10.0.0.66"
FORWARDED = {
    "host": "127.0.0.1:8765",
    "x-forwarded-for": "192.0.2.7",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "plant.example",
}
OURS = {"origin": "https://plant.example"}


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    made = site_of(database, tmp_path)
    made.add("ada", "inspector")
    return made


def call(
    site: Site, peer: str, method: str, path: str, headers: dict[str, str], **options: object
) -> httpx.Response:
    """Through a connection from this peer, whose proxies are those of 10.0.0.0/28."""

    async def send() -> httpx.Response:
        app = ProxiedApp(site.app, ["10.0.0.0/28", "::1"])
        transport = httpx.ASGITransport(app=app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]

    return asyncio.run(send())


def sign_in(site: Site, peer: str, headers: dict[str, str]) -> httpx.Response:
    form = {"name": "ada", "password": SECRET}
    return call(site, peer, "POST", "/sign-in", headers, data=form)


def test_behind_a_proxy_the_caller_is_who_the_proxy_says(site: Site) -> None:
    welcome = sign_in(site, PROXY, {**FORWARDED, **OURS})
    assert welcome.status_code == 303
    assert "Secure" in welcome.headers["set-cookie"]
    assert site.access.audit.newest(1)[0].address == "192.0.2.7"
    cookie = {"cookie": welcome.headers["set-cookie"].partition(";")[0]}
    labelled = call(site, PROXY, "PUT", LABEL, {**FORWARDED, **OURS, **cookie}, json=SAID)
    assert labelled.status_code == 200
    other = {**FORWARDED, **cookie, "origin": "https://elsewhere.example"}
    assert call(site, PROXY, "PUT", LABEL, other, json=SAID).status_code == 403


@pytest.mark.parametrize("peer", [ELSEWHERE, "", "testclient"])
def test_what_others_say_of_themselves_counts_nothing(site: Site, peer: str) -> None:
    assert sign_in(site, peer, {**FORWARDED, **OURS}).status_code == 403
    welcome = sign_in(site, peer, {**FORWARDED, "sec-fetch-site": "same-origin"})
    assert "Secure" not in welcome.headers["set-cookie"]
    assert site.access.audit.newest(1)[0].address == peer


@pytest.mark.parametrize("host", ["a b", "plant.example/x", "", "[::1", "x" * 300, "a:b:c"])
def test_a_host_that_is_none_is_no_host(site: Site, host: str) -> None:
    refused = sign_in(site, PROXY, {**FORWARDED, "x-forwarded-host": host, **OURS})
    assert refused.status_code == 403


@pytest.mark.parametrize("host", ["plant.example", "plant.example:8443", "[2001:db8::1]:8443"])
def test_the_first_of_several_hosts_is_the_one_that_was_called(site: Site, host: str) -> None:
    headers = {**FORWARDED, "x-forwarded-host": f"{host}, inner.example"}
    assert sign_in(site, PROXY, {**headers, "origin": f"https://{host}"}).status_code == 303
