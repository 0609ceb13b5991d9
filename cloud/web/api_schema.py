"""The OpenAPI description: FastAPI's, with versioned paths, every answer, and who may call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from cloud.accounts.access import COOKIE
from cloud.web.api_version import versioned
from cloud.web.problems import PROBLEM_JSON, Problem
from shared.web.access import TokenScope
from shared.web.roles import SAFE, Need, stated

SCHEMAS = "#/components/schemas/"
ANSWERS = {
    400: "a body that can't be read, or a host that is not this one",
    401: "nobody is signed in, and no token came that is known here",
    403: "whoever calls may not do this, or another site's page had it sent",
    404: "what was asked for is not there",
    405: "this address takes other methods: the header `Allow` names them",
    409: "it can't be done as things are",
    410: "it is no longer there",
    413: "more came than is read",
    422: "a name or a value is none that is taken",
    429: "too many wrong passwords or tokens came: `Retry-After` says when to try again",
    502: "what a box answered is not what it was asked for",
    503: "the database can't be used",
    504: "no answer came in time",
}
ALWAYS = (400, 401, 403, 404, 405, 413, 422, 429, 503)
SECURITY = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "who has signed in; what is listed with it is the least role",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "made by `splitsight cloud token add`; what is listed with it is the scope, "
        "and its owner needs the role too",
    },
}


class DescribedApi(FastAPI):
    """An app whose description says all of it."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            found = super().openapi()
            needed = {(method, path): wanted for method, path, wanted in stated(self.routes)}
            paths = found["paths"]
            for path, method, told in list(_operations(paths)):
                _describe(told, method.upper(), needed.get((method.upper(), path), []))
            found["paths"] = {versioned(path): one for path, one in paths.items()}
            components = found.setdefault("components", {})
            _, kinds = models_json_schema(
                [(Problem, "serialization")], ref_template=SCHEMAS + "{model}"
            )
            schemas = components.setdefault("schemas", {})
            schemas |= kinds["$defs"]
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            components["responses"] = {str(status): _problem(status) for status in ANSWERS}
            components["securitySchemes"] = SECURITY
            self.openapi_schema = found
        return self.openapi_schema


def _operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, one in paths.items():
        for method, told in one.items():
            yield path, method, told


def _describe(told: dict[str, Any], method: str, wanted: list[Need]) -> None:
    answers = told["responses"]
    statuses = {*ALWAYS, *(() if method in SAFE else (409,))}
    for status in sorted({*statuses, *(int(one) for one in answers if int(one) >= 400)}):
        answers[str(status)] = _answer(status, answers.get(str(status)))
    if method == "GET":
        answers["304"] = {"description": "the same as the `ETag` in `If-None-Match` says"}
    role, scopes = _least(wanted)
    told["security"] = [{"session": [role]}, {"token": list(scopes)}] if role else []


def _answer(status: int, given: dict[str, Any] | None) -> dict[str, Any]:
    """The problem alone, or beside something else that the route itself says."""
    content = (given or {}).get("content", {})
    said = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if said in {"", SCHEMAS + "Problem", SCHEMAS + "HTTPValidationError"}:
        return {"$ref": f"#/components/responses/{status}"}
    return {**(given or {}), "content": {**content, **_problem(status)["content"]}}


def _problem(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": ANSWERS.get(status, "a problem"),
        "content": {PROBLEM_JSON: {"schema": {"$ref": SCHEMAS + "Problem"}}},
    }
    if status in {405, 429}:
        name = "Allow" if status == 405 else "Retry-After"
        answer["headers"] = {name: {"schema": {"type": "string"}}}
    return answer


def _least(wanted: list[Need]) -> tuple[str, list[TokenScope]]:
    """The role of people and the scopes of tokens that all of these ask for together."""
    roles = [need.role for need in wanted if need.role]
    order = ("viewer", "inspector", "engineer", "admin")
    role = max(roles, key=order.index, default="")
    return role, sorted({need.scope for need in wanted if need.role})
