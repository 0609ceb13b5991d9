"""The cloud's devices, over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from fleet.client.cloud_api import CloudApi
from shared.errors import TransportError


def answering(
    answer: Callable[[httpx.Request], httpx.Response], token: str | None = None
) -> CloudApi:
    return CloudApi("http://cloud.example:8765/", token, httpx.MockTransport(answer))


def test_devices_are_listed_as_the_cloud_tells_them() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=[{"device": "box-1", "state": "online"}])

    rows = answering(answer, "open-sesame").devices()
    assert rows == [{"device": "box-1", "state": "online"}]
    assert str(asked[0].url) == "http://cloud.example:8765/api/v1/devices"
    assert asked[0].headers["authorization"] == "Bearer open-sesame"


def test_no_token_is_sent_where_none_is_given() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[dict(request.headers)])

    (headers,) = answering(answer).devices()
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "give a token in SPLITSIGHT_TOKEN"), (403, "give SPLITSIGHT_TOKEN a token that may")],
)
def test_a_cloud_that_refuses_asks_for_a_token(status: int, fix: str) -> None:
    with pytest.raises(TransportError, match=f"answered {status}; {fix}"):
        answering(lambda _: httpx.Response(status)).devices()


@pytest.mark.parametrize("status", [404, 500, 301])
def test_another_status_points_to_the_address(status: int) -> None:
    with pytest.raises(TransportError, match=f"answered {status}; check the address"):
        answering(lambda _: httpx.Response(status)).devices()


@pytest.mark.parametrize("told", ["{}", "3", "null", "[1, 2]", '"devices"'])
def test_json_from_something_else_is_not_taken_for_devices(told: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=told)

    with pytest.raises(TransportError, match="is not a splitsight cloud"):
        answering(answer).devices()


def test_a_page_is_not_taken_for_devices() -> None:
    with pytest.raises(TransportError, match=r"cloud\.example:8765/ can't be read"):
        answering(lambda _: httpx.Response(200, html="<p>hello</p>")).devices()


def test_a_cloud_that_does_not_answer_is_named() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(TransportError, match=r"can't be read \(connection refused\)"):
        answering(answer).devices()


@pytest.mark.parametrize("url", ["cloud.example", "ftp://cloud.example", "http://[bad", ""])
def test_an_address_that_is_none_is_told_in_words(url: str) -> None:
    # The real client: it refuses such addresses before it opens a socket.
    with pytest.raises(TransportError, match="check the address"):
        CloudApi(url).devices()
