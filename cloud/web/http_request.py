"""What holds for requests of every route: HEAD where GET is, and bodies of a bounded size."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.web.problems import problem

# A hand-drawn map of a part is the largest thing that anybody sends.
LARGEST_BODY = 4 * 2**20


class HeadApp:
    """Answers HEAD as GET without the body, also of answers that would never end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = False

        async def gone() -> Message:
            """Whoever asks for no body has nothing more to say once the head has been sent."""
            return {"type": "http.disconnect"} if started else await receive()

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                started = True

        await self._app({**scope, "method": "GET"}, gone, headed)


class BoundedBodies:
    """Refuses what is larger than anything that is asked for, before it is read into memory."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_BODY) -> None:
        """largest   bytes"""
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if said.isdigit() and int(said) > self._largest:
            await self._refusal()(scope, receive, send)
            return
        came = 0
        over = answered = False

        async def counted() -> Message:
            nonlocal came, over
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._largest:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def sent(message: Message) -> None:
            nonlocal answered
            if over and not answered:
                return
            answered = True
            await send(message)

        try:
            await self._app(scope, counted, sent)
        except ClientDisconnect:
            if not over:
                raise
        if over and not answered:
            await self._refusal()(scope, receive, send)

    def _refusal(self) -> ASGIApp:
        return problem(
            413,
            f"more than {self._largest:,} B came",
            "send less: nothing that is taken here is as large",
            {"connection": "close"},
        )
