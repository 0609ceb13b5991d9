"""Short forms that browsers send."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

MAX_FORM = 4096


async def form_fields(request: Request) -> dict[str, str]:
    """The first value of each field; none where the form is longer than MAX_FORM bytes."""
    found = await form_lists(request, MAX_FORM)
    return {name: values[0] for name, values in (found or {}).items()}


async def form_lists(request: Request, most: int) -> dict[str, list[str]] | None:
    """Every value of each field; None where the form is longer than so many bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return parse_qs(body.decode(errors="replace"))


def is_foreign(request: Request, *, unsaid: bool) -> bool:
    """Whether another site's page had the browser send this.

    unsaid   the answer where the request says nothing of it: programs don't, every browser does
    """
    fetched_by = request.headers.get("sec-fetch-site")
    if fetched_by is not None:
        return fetched_by not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return unsaid
    return urlsplit(origin).netloc != request.headers.get("host", "")
