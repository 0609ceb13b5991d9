"""What viewers of live pages hear: written once for all of them, and nobody waits for another."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import aclosing
from typing import Any

import pytest

from cloud.dashboard.live import WALL, LiveFragments, LiveScope
from cloud.dashboard.stream import TICK, LiveResponse, LiveStreams
from cloud.health.line_watch import LineWatch
from cloud.health.running_promise import PromiseMonitor
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from shared.clock import ManualClock
from tests.cloud.makers import NOON, device, inspection
from tests.cloud.web.test_api import healthy

pytestmark = pytest.mark.anyio
EVERY = ["state", "lines", "strip", "defects", "chart", "devices", "promise"]


def names(text: bytes) -> list[str]:
    return re.findall(r"^event: (.*)$", text.decode(), re.MULTILINE)


class Plant:
    """One line's records and the streams of who watches it. `change` is one second of it."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock(utc=NOON + 60)
        self.store = RecordStore(database)
        self.store.save([inspection(1)], devices=[device()])
        promises = PromiseMonitor(database, dict)
        watch = LineWatch(database, healthy, promises, self.clock)
        live = LiveFragments(Records(database), watch, self.clock)
        self.stopping = threading.Event()
        self.streams = LiveStreams(live.fragments, self.stopping, pause_s=0)

    def change(self, problems: str) -> None:
        self.store.save(devices=[device(problems=problems)])
        self.clock.advance(1.5)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def plant(database: Database) -> Plant:
    return Plant(database)


async def until(stream: AsyncGenerator[bytes, None], word: bytes) -> bytes:
    """The first text with that word."""
    async for text in stream:
        if word in text:
            return text
    raise AssertionError(f"it ended without {word!r}")


async def test_each_fragment_comes_again_only_when_it_has_changed(plant: Plant) -> None:
    async with aclosing(plant.streams.hear()) as stream:
        assert names(await anext(stream)) == EVERY
        # Where nothing has changed it says that it is there.
        assert await anext(stream) == TICK
        plant.change("lens dirty")
        assert names(await until(stream, b"lens dirty")) == ["state", "lines", "devices"]
        plant.stopping.set()
        assert {text async for text in stream} <= {TICK}


async def test_all_who_see_the_same_hear_one_text(plant: Plant) -> None:
    async with aclosing(plant.streams.hear()) as one, aclosing(plant.streams.hear()) as other:
        first, second = await asyncio.gather(anext(one), anext(other))
        assert first is second
        assert plant.streams.watched == 1
        async with aclosing(plant.streams.hear(LiveScope(fragments=WALL))) as wall:
            assert names(await anext(wall)) == ["wall"]
            assert plant.streams.watched == 2


async def test_who_comes_later_hears_all_at_once(plant: Plant) -> None:
    async with aclosing(plant.streams.hear()) as early:
        await anext(early)
        plant.change("lens dirty")
        await until(early, b"lens dirty")
        async with aclosing(plant.streams.hear()) as late:
            assert names(await anext(late)) == EVERY


async def test_a_slow_viewer_holds_up_nobody_and_is_owed_each_fragment_once(plant: Plant) -> None:
    async with aclosing(plant.streams.hear()) as slow, aclosing(plant.streams.hear()) as quick:
        await anext(slow)
        for number in range(20):
            plant.change(f"fault {number}.")
            await until(quick, f"fault {number}.".encode())
        owed = await anext(slow)
        assert names(owed) == ["state", "lines", "devices"]
        assert b"fault 19." in owed
        assert b"fault 18." not in owed


async def test_a_viewer_that_takes_nothing_any_more_is_let_go_and_holds_nothing(
    plant: Plant,
) -> None:
    stuck, gone = asyncio.Event(), asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("body"):
            stuck.set()
            await asyncio.Event().wait()

    async def receive() -> MutableMapping[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    answer = LiveResponse(plant.streams.hear())
    answering = asyncio.create_task(
        answer({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    )
    await stuck.wait()
    async with aclosing(plant.streams.hear()) as other:
        assert names(await anext(other)) == EVERY
    assert plant.streams.watched == 1
    gone.set()
    await answering
    assert plant.streams.watched == 0


async def test_what_goes_wrong_ends_the_stream_and_the_next_one_begins_anew() -> None:
    asked = itertools.count()

    def rendered(_scope: LiveScope) -> dict[str, str]:
        if next(asked) == 0:
            raise KeyError("state")
        return {"state": "well"}

    streams = LiveStreams(rendered, threading.Event())
    with pytest.raises(KeyError):
        await anext(streams.hear())
    async with aclosing(streams.hear()) as stream:
        assert await anext(stream) == b"event: state\ndata: well\n\n"
