"""What a proxy in front of the cloud says of who calls, where it may be believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


class ProxiedApp:
    """An app behind proxies: host, scheme and address are those of the caller.

    proxies   addresses and networks; what others send as `X-Forwarded-*` says nothing
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in proxies]
        known = ProxyHeadersMiddleware(app, [str(one) for one in self._networks])  # type: ignore[arg-type]
        self._app = cast("ASGIApp", known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        if not self._is_proxy(scope):
            # Below which path we are served, nobody else may say: see `cloud.web.prefix`.
            del headers["x-forwarded-prefix"]
            scope = {**scope, "headers": headers.raw}
        else:
            # Of several proxies the first, which the caller has called.
            host = headers.get("x-forwarded-host", "").partition(",")[0].strip()
            if HOST.fullmatch(host):
                headers["host"] = host
                scope = {**scope, "headers": headers.raw}
        await self._app(scope, receive, send)

    def _is_proxy(self, scope: Scope) -> bool:
        try:
            address = ipaddress.ip_address((scope.get("client") or ("", 0))[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)
