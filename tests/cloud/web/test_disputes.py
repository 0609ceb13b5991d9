"""From a data set's disputes to an inspector, over the API as the command uses it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cloud.disputes.label_quality import DisputedLabel
from cloud.disputes.lineage import LineOrigin
from cloud.disputes.second_opinions import ask_again
from shared.errors import AccessRefused, TransportError
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_labels import client as client

URL = "http://127.0.0.1"


class ThroughTheApp(httpx.BaseTransport):
    """Requests go to the app itself."""

    def __init__(self, app: Caller) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "POST"
        answer = self._app.post(
            request.url.path,
            content=request.read(),
            headers={"content-type": "application/json"},
        )
        return httpx.Response(answer.status_code, content=answer.content)


def disputed(sequence: int | None, score: float = 0.9, suggested: str = "defective") -> Any:
    origin = None if sequence is None else LineOrigin("box-1", "b1", sequence)
    return DisputedLabel(
        image=f"/data/{sequence}.png",
        part=str(sequence),
        split="test",
        domain="all",
        given="good",
        suggested=suggested,
        score=score,
        judged_by="bundle",
        origin=origin,
    )


def test_what_came_off_a_line_goes_into_the_queue_and_the_rest_stays(client: Caller) -> None:
    label = {"verdict": "pass", "inspector": "ada"}
    client.put("/api/v1/inspections/box-1/b1/3/review", json=label)
    rows = [disputed(3), disputed(3, 0.6), disputed(2, 0.2, "good"), disputed(None)]
    asked = ask_again(URL, rows, transport=ThroughTheApp(client))
    assert asked.states == {"asked": 1, "unlabelled": 1}
    assert asked.elsewhere == 1
    assert "1: another inspector is asked" in asked.told
    again = ask_again(URL, rows, transport=ThroughTheApp(client))
    assert again.states == {"waiting": 1, "unlabelled": 1}


def test_nothing_off_a_line_asks_the_cloud_nothing(client: Caller) -> None:
    def unexpected(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    asked = ask_again(URL, [disputed(None)], transport=httpx.MockTransport(unexpected))
    assert (asked.states, asked.elsewhere) == ({}, 1)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"worth": 1.1}, "worth"),
        ({"worth": "nan"}, "worth"),
        ({"sequence": 0}, "sequence"),
        ({"device": "a\0b"}, "device"),
        ({"more": 1}, "more"),
    ],
)
def test_a_dispute_that_cannot_be_is_refused(
    client: Caller, part: dict[str, Any], said: str
) -> None:
    whole = {"device": "box-1", "boot": "b1", "sequence": 1, "worth": 0.5, **part}
    answer = client.post("/api/v1/labels/disputes", json={"parts": [whole]})
    assert (answer.status_code, said in answer.json()["error"]) == (422, True)


def test_one_part_twice_is_refused(client: Caller) -> None:
    whole = {"device": "box-1", "boot": "b1", "sequence": 1, "worth": 0.5}
    answer = client.post("/api/v1/labels/disputes", json={"parts": [whole, whole]})
    assert (answer.status_code, "came twice" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, b"{}", AccessRefused),
        (403, b"{}", AccessRefused),
        (500, b"", TransportError),
        (200, b"<html>", TransportError),
        (200, b'{"a": 1}', TransportError),
    ],
)
def test_what_is_no_cloud_or_refuses_is_said(
    status: int, content: bytes, kind: type[Exception]
) -> None:
    answers = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    with pytest.raises(kind, match=URL):
        ask_again(URL, [disputed(1)], transport=answers)
