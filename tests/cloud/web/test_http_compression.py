"""What is compressed on its way out, and what never is."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from cloud.web.http_compression import GZIP as FORMAT
from cloud.web.http_compression import LARGE, SMALLEST, CompressedApp
from cloud.web.prefix import PrefixedApp
from tests.cloud.web.caller import Caller

PAGE = '<a href="/parts">parts</a>' * 200
GZIP = {"accept-encoding": "gzip"}


def page(_request: Request) -> Response:
    return HTMLResponse(PAGE)


def rows(_request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(3000):
            yield f"box-1,{number},pass\n"

    return StreamingResponse(lines(), media_type="text/csv")


ROUTES = [
    Route("/", page, methods=["GET", "POST"]),
    Route("/rows.csv", rows),
    Route("/large", lambda _r: JSONResponse(["box-1"] * LARGE)),
    Route("/small", lambda _r: HTMLResponse("x" * (SMALLEST - 1))),
    Route("/events", lambda _r: Response("data: 1\n\n" * 500, media_type="text/event-stream")),
    Route("/map.png", lambda _r: Response(b"\0" * 9000, media_type="image/png")),
    Route("/packed", lambda _r: Response(b"x" * 9000, headers={"content-encoding": "br"})),
]


def caller(scheme: str = "http") -> Caller:
    return Caller(CompressedApp(PrefixedApp(Starlette(routes=ROUTES), "/qa")), f"{scheme}://plant")


@pytest.mark.parametrize("path", ["/", "/rows.csv", "/large"])
def test_what_compresses_is_compressed_and_the_same_behind_it(path: str) -> None:
    plain = caller().get(path, headers={"accept-encoding": "identity"})
    packed = caller().get(path, headers=GZIP)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert "Accept-Encoding" in packed.headers["vary"]
    if path != "/rows.csv":
        assert int(packed.headers["content-length"]) < len(plain.content) / 10


def test_addresses_are_written_into_a_page_before_it_is_compressed() -> None:
    assert caller().get("/", headers=GZIP).text.count('href="/qa/parts"') == 200


@pytest.mark.parametrize("path", ["/events", "/map.png", "/small"])
def test_a_stream_a_picture_and_what_is_small_are_sent_as_they_are(path: str) -> None:
    assert "content-encoding" not in caller().get(path, headers=GZIP).headers


@pytest.mark.parametrize("takes", ["", "br", "gzip;q=0", "gzip; q=0.0", "identity"])
def test_nobody_gets_what_they_can_not_read(takes: str) -> None:
    answer = caller().get("/", headers={"accept-encoding": takes})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("asked_by", ["cross-site", "same-site"])
def test_another_sites_page_learns_nothing_from_the_length(asked_by: str) -> None:
    given = {**GZIP, "sec-fetch-site": asked_by}
    assert "content-encoding" not in caller("https").get("/", headers=given).headers


def test_a_browser_that_does_not_say_who_made_it_ask_is_sent_nothing_compressed_under_tls() -> None:
    cookie = {**GZIP, "cookie": "splitsight=x"}
    assert "content-encoding" not in caller("https").get("/", headers=cookie).headers
    assert "content-encoding" in caller("https").get("/", headers=GZIP).headers
    ours = {**cookie, "sec-fetch-site": "same-origin"}
    assert "content-encoding" in caller("https").get("/", headers=ours).headers


def test_what_a_form_is_answered_is_not_compressed() -> None:
    answer = caller().post("/", headers=GZIP)
    assert answer.text.startswith("<a ")
    assert "content-encoding" not in answer.headers


def test_what_is_compressed_already_is_left_alone() -> None:
    transported = caller().request("HEAD", "/packed", headers=GZIP)
    assert transported.headers["content-encoding"] == "br"


def test_the_first_piece_of_a_stream_is_read_before_the_second_is_there() -> None:
    read: list[bytes] = []
    unpacker = zlib.decompressobj(FORMAT)

    async def slow() -> AsyncIterator[str]:
        yield "first"
        assert read == [b"first"]
        yield "second"

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            read.append(unpacker.decompress(message["body"]))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    answer = StreamingResponse(slow(), media_type="text/html")
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "headers": [(b"accept-encoding", b"gzip")],
        # With it the answer does not also wait for its caller to go.
        "asgi": {"spec_version": "2.4"},
    }
    asyncio.run(CompressedApp(answer)(scope, receive, send))
    assert b"".join(read) == b"firstsecond"
