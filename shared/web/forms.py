"""Short forms that browsers send."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

MAX_FORM = 4096


async def form_fields(request: Request) -> dict[str, str]:
    """The first value of each field; none where the form is longer than MAX_FORM bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
