"""Calls an ASGI app as a client would, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.types import ASGIApp

from cloud.accounts.access import Access, open_access
from cloud.accounts.passwords import Passwords
from cloud.records.database import Database
from shared.clock import Clock
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Service
from shared.web.access import current_caller
from shared.web.html import environment

# As the product's, at a cost that tests can pay.
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def access_to(database: Database, clock: Clock, token: str | None = None, **more: Any) -> Access:
    """What looks at callers, as in the cloud."""
    return open_access(database, clock, token=token, **{"passwords": QUICK, **more})


def include(app: FastAPI, page: Page[PageContext], clock: Clock) -> None:
    """Serve a page as the cloud does, with no other in the navigation."""
    templates = environment(page.templates, pages=[page], here=page.path, caller=current_caller)
    app.include_router(page.routes(PageContext(clock, templates)))


def include_service(app: FastAPI, service: Service, clock: Clock) -> None:
    """What a service adds to the cloud."""
    for router in service.routers:
        app.include_router(router)
    for page in service.pages:
        include(app, page, clock)


class Caller:
    """Keeps cookies between calls; follows no redirect."""

    def __init__(self, app: ASGIApp, base_url: str) -> None:
        self._app = app
        self._base_url = base_url
        self._cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call("POST", path, **options))

    def put(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call("PUT", path, **options))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call(method, path, **options))

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call("PATCH", path, **options))

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._call("DELETE", path, **options))

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(
            transport=transport, base_url=self._base_url, cookies=self._cookies
        ) as client:
            response = await client.request(method, path, **options)
            self._cookies.update(client.cookies)
            return response
