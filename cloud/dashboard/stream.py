"""What live pages are sent: rendered and written once for all who see the same.

Nothing of it depends on who looks: people in their roles see the same figures of a line, and their
own zone's time is their browser's business. So one text is shared by all viewers of one scope.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from cloud.dashboard.live import EVERYTHING, REFRESH_S, LiveScope

# How many times a stream looks at what is new before it asks whether its caller may still stay.
LOOKS = 10
TICK = b"event: tick\ndata: .\n\n"
Rendered = Callable[[LiveScope], Mapping[str, str]]
"""HTML by fragment name."""
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class LiveStreams:
    """One text a second and scope, however many listen. Of one event loop.

    A viewer that is slow is behind nobody: nothing is kept for it but how far it has come, and what
    has changed twice meanwhile comes once, as it is now.
    """

    def __init__(
        self, rendered: Rendered, stopping: threading.Event, *, pause_s: float = REFRESH_S
    ) -> None:
        """rendered   what is to be seen now; asked on other threads
        stopping   set when the service stops: then every stream ends"""
        self._rendered = rendered
        self._stopping = stopping
        self._pause_s = pause_s
        self._channels: dict[LiveScope, _Channel] = {}

    @property
    def watched(self) -> int:
        """How many scopes somebody listens to."""
        return len(self._channels)

    async def hear(
        self, scope: LiveScope = EVERYTHING, stays: Callable[[], bool] = lambda: True
    ) -> AsyncGenerator[bytes, None]:
        """Each fragment once, then whenever it has changed, until the service stops, or the
        caller's session has ended. Where nothing has changed, a `tick` says that somebody still
        speaks."""
        channel = self._channels.get(scope)
        if channel is None or channel.ended:
            channel = self._channels[scope] = _Channel()
            channel.told_by(asyncio.create_task(self._tell(scope, channel)))
        channel.viewers += 1
        seen, looks = 0, 0
        try:
            while await channel.newer_than(seen):
                looks += 1
                if looks % LOOKS == 0 and not await run_in_threadpool(stays):
                    return
                news, seen = channel.since(seen), channel.number
                yield news
        finally:
            channel.viewers -= 1
            if not channel.viewers and self._channels.get(scope) is channel:
                del self._channels[scope]
                channel.close()

    async def _tell(self, scope: LiveScope, channel: _Channel) -> None:
        while not self._stopping.is_set():
            channel.tell(await run_in_threadpool(self._rendered, scope))
            await asyncio.sleep(self._pause_s)


class LiveResponse(StreamingResponse):
    """A stream of server-sent events that lets go of its channel as soon as its viewer is gone."""

    media_type = "text/event-stream"

    def __init__(self, heard: AsyncGenerator[bytes, None]) -> None:
        super().__init__(heard, headers=HEADERS)
        self._heard = heard

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._heard):
            await super().stream_response(send)


class _Channel:
    """The newest text of each fragment of a scope, and when it changed.

    number   how many times it was looked at what is new; 0: not yet
    """

    def __init__(self) -> None:
        self.number = 0
        self.viewers = 0
        self.ended = False
        self._failed: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._html: dict[str, str] = {}
        self._texts: dict[str, tuple[int, bytes]] = {}
        self._since: dict[int, bytes] = {}
        self._turn = asyncio.Event()

    def tell(self, fragments: Mapping[str, str]) -> None:
        self.number += 1
        for name, html in fragments.items():
            if self._html.get(name) != html:
                self._html[name] = html
                self._texts[name] = (self.number, event(name, html))
        self._since.clear()
        self._wake()

    def told_by(self, task: asyncio.Task[None]) -> None:
        """When that ends, so do all who listen."""
        self._task = task
        task.add_done_callback(self._end)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def newer_than(self, seen: int) -> bool:
        """Waits for it; False where nothing comes any more. Raises what ended it."""
        while self.number <= seen and not self.ended:
            await self._turn.wait()
        if self._failed is not None:
            raise self._failed
        return not self.ended

    def since(self, seen: int) -> bytes:
        """All that changed after it; written once for all who have come as far."""
        if seen not in self._since:
            changed = [text for number, text in self._texts.values() if number > seen]
            self._since[seen] = b"".join(changed) or TICK
        return self._since[seen]

    def _end(self, task: asyncio.Task[None]) -> None:
        self.ended = True
        self._failed = None if task.cancelled() else task.exception()
        self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()


def event(name: str, html: str) -> bytes:
    """One server-sent event."""
    lines = "\ndata: ".join(html.splitlines())
    return f"event: {name}\ndata: {lines}\n\n".encode()
