"""How soon an answer is with who asked."""

from __future__ import annotations

import time

import httpx
from starlette.responses import PlainTextResponse

from cloud.web.http_server import HttpServer
from shared.worker import DeadWorkers

# What a system waits for before it says by itself that it has heard the first piece of an answer.
DELAYED_ACK_S = 0.04


def test_a_small_answer_waits_for_no_word_of_the_other_side() -> None:
    server = HttpServer(PlainTextResponse("here"), "127.0.0.1", 0, DeadWorkers())
    server.start()
    took = []
    with httpx.Client(base_url=server.url) as client:
        for _ in range(30):
            begun = time.perf_counter()
            assert client.get("/").text == "here"
            took.append(time.perf_counter() - begun)
    server.stop()
    # The first few are answered at once in any case, until the system sees that somebody listens.
    assert min(took[10:]) < DELAYED_ACK_S / 2
