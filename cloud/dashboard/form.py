"""What pages with forms have in common: read, do, go on; or show again with what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.errors import SplitsightError
from shared.web.access import Caller, visit_of
from shared.web.forms import form_fields

Fields = dict[str, str]
Act = Callable[[Fields, Caller], Response | None]
Again = Callable[[SplitsightError, Fields], Response]


class PageQuery(BaseModel):
    """What can be asked of a page by a form that sends its empty fields too: they mean any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_any(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {name: value for name, value in values.items() if value not in ("", [""])}
        return values


async def obey(request: Request, act: Act, again: Again, to: str) -> Response:
    """Do what a form asks, on a thread.

    act    what it asks; a page to show, or None: go on at `to`
    again  the page of the form with what was wrong and what was typed
    """
    fields = await form_fields(request)
    caller = visit_of(request).caller
    try:
        shown = await run_in_threadpool(act, fields, caller)
    except SplitsightError as error:
        told = error
        return await run_in_threadpool(lambda: again(told, fields))
    return shown or RedirectResponse(to, status_code=303)
