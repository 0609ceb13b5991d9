"""What each route takes: the methods of an address, and the names of a query."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any, get_args, get_origin

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import compile_path

from shared.errors import SettingsError

ANY_QUERY = {"x-query": "any"}
"""`openapi_extra` of a route whose query others write: a provider adds what it likes."""
SEVERAL = (list, set, tuple, frozenset, Sequence, AbstractSet)


class RouteTable:
    """The routes of an app, read when they are first asked for: then all of them are there."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def _routes(self) -> list[tuple[Any, frozenset[str]]]:
        return [
            (compile_path(str(found.path))[0], frozenset(methods))
            for found in iter_route_contexts(self._app.routes)
            if (methods := getattr(found, "methods", None))
        ]

    def allowed(self, path: str) -> list[str]:
        """The methods that this path answers, for the header `Allow`; none where it is no path."""
        methods = {
            method for pattern, taken in self._routes if pattern.match(path) for method in taken
        }
        if not methods:
            return []
        return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


async def known_query(request: Request) -> None:
    """A dependency of every route: a name in the query that the route does not know is refused.

    Else a filter with a typing error in its name would filter nothing, and look as if it had.
    Raises SettingsError.
    """
    given = request.query_params
    route = request.scope.get("route")
    if not given or not isinstance(route, APIRoute) or route.openapi_extra == ANY_QUERY:
        return
    known = dict(query_of(route.dependant))
    unknown = [name for name in given if name not in known]
    if unknown:
        told = f"this takes {', '.join(sorted(known))}" if known else "this takes nothing after `?`"
        raise SettingsError(
            f"nothing here is called {', '.join(repr(name[:63]) for name in unknown[:10])}",
            fix=f"check for typing errors: {told}",
        )
    twice = [
        name for name, several in known.items() if not several and len(given.getlist(name)) > 1
    ]
    if twice:
        raise SettingsError(f"{', '.join(twice)} came more than once", fix="send one value of each")


def query_of(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Each name that a route takes from the query, and whether it may come more than once."""
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name, _several(info.annotation)
        else:
            yield field.alias, _several(kind)
    for below in dependant.dependencies:
        yield from query_of(below)


def _several(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if inspect.isclass(origin) and origin is not str and issubclass(origin, SEVERAL):
        return True
    return any(_several(one) for one in get_args(kind))
