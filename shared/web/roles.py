"""What each route asks of its callers: a role of people, a scope of their tokens, an entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute

from shared.errors import AccessRefused
from shared.redaction import SECRET_NAME
from shared.web.access import Caller, Role, TokenScope, visit_of
from shared.web.audit import Facts

LONGEST_FACTS = 2_000
OWN_ENTRY = "its own"
"""`what` of a route that writes its entry itself, with what was before."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Need:
    """The least that a route asks of its callers.

    role      None: anyone may, signed in or not
    what      is written down before it is done; empty: nothing changes
    changing  asked only of requests that change something
    """

    role: Role | None
    scope: TokenScope = "read"
    what: str = ""
    changing: bool = False

    async def __call__(self, request: Request) -> None:
        if self.changing and request.method in SAFE:
            return
        visit = visit_of(request)
        require(visit.caller, self.role, self.scope)
        if self.what not in {"", OWN_ENTRY} and visit.asked is None:
            said = await _said(request)
            subject = "/".join(map(str, request.path_params.values())) or request.url.path
            by = str(said.get("by", "")) if said else ""
            visit.asked = visit.caller.did(self.what, subject, after=said, said=by)
            await run_in_threadpool(visit.trail.record, visit.asked)


def needs(
    role: Role | None, scope: TokenScope = "read", what: str = "", *, changing: bool = False
) -> Any:
    """What a route, or a router, says of its callers: `dependencies=[needs("viewer")]`."""
    return Depends(Need(role, scope, what, changing))


def require(caller: Caller, role: Role | None, scope: TokenScope) -> None:
    """Raises AccessRefused where the caller is less."""
    if caller.may(role, scope):
        return
    if caller.role is None:
        raise AccessRefused("this needs somebody who is signed in", fix="sign in, or give a token")
    if caller.scopes is not None and scope not in caller.scopes:
        raise AccessRefused(
            f"the token of {caller.name} is not for {scope}",
            fix=f"make one with `splitsight cloud token add --scope {scope}`",
        )
    raise AccessRefused(
        f"this needs the role {role}, and {caller.name} has the role {caller.role}",
        fix=f"ask somebody with the role {role}, or an admin for the role",
    )


def stated(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str, list[Need]]]:
    """Of every route below these its method, its path and what it needs: nothing if it is silent.

    What is mounted, which is files that all may read, is left out.
    """
    for found in iter_route_contexts(routes):
        methods = getattr(found, "methods", None)
        if methods:
            dependant = found.dependant if isinstance(found.original_route, APIRoute) else None
            calls = [one.call for one in dependant.dependencies] if dependant else []
            wanted = [call for call in calls if isinstance(call, Need)]
            for method in sorted(methods):
                yield method, str(found.path), wanted


async def _said(request: Request) -> Facts | None:
    """What a body of JSON says, without secrets; of a long one its hash. FastAPI has read it."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return None
    body = await request.body()
    try:
        facts = json.loads(body)
    except ValueError:
        return None
    if not isinstance(facts, dict) or not facts:
        return None
    if len(body) > LONGEST_FACTS:
        return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return {key: "…" if SECRET_NAME.search(key) else value for key, value in facts.items()}
