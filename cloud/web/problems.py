"""What a caller reads when something is wrong: what came, and what to do (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloud.web.route_table import RouteTable
from shared.errors import (
    AccessRefused,
    RecordsError,
    SettingsError,
    SplitsightError,
    TooManyGuesses,
)

PROBLEM_JSON = "application/problem+json"
SEE = "see /api/v1/openapi.json for what"


class Problem(BaseModel):
    """The body of every answer of the API that is 400 or more: problem details of RFC 9457."""

    type: str = Field(default="about:blank", description="the status says what kind it is")
    title: str = Field(description="the status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="what came, and what was wanted")
    fix: str = Field(description="what to do about it")
    error: str = Field(description="as `detail`, for programs that read it there")


class ProblemResponse(JSONResponse):
    """A problem as JSON; `told` is what it says, for who shows it otherwise."""

    media_type = PROBLEM_JSON

    def __init__(self, told: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(told.model_dump(), status_code=told.status, headers=headers)
        self.told = told


class NotFound(Exception):
    """Nothing is there under this address."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def handle_problems(app: FastAPI) -> None:
    """Answer every error as a Problem."""
    table = RouteTable(app)

    @app.exception_handler(RecordsError)
    def records(_request: Request, error: RecordsError) -> JSONResponse:
        return problem(503, error.message, error.fix)

    @app.exception_handler(SettingsError)
    def settings(_request: Request, error: SettingsError) -> JSONResponse:
        return problem(404 if error.missing else 422, error.message, error.fix)

    @app.exception_handler(AccessRefused)
    def not_allowed(_request: Request, error: AccessRefused) -> JSONResponse:
        return problem(403, error.message, error.fix)

    @app.exception_handler(TooManyGuesses)
    def too_many(_request: Request, error: TooManyGuesses) -> JSONResponse:
        return wait(error)

    @app.exception_handler(SplitsightError)
    def refused(_request: Request, error: SplitsightError) -> JSONResponse:
        """What can't be done as things are, or to something that is not there."""
        return problem(404 if error.missing else 409, error.message, error.fix)

    @app.exception_handler(NotFound)
    def not_found(_request: Request, error: NotFound) -> JSONResponse:
        return problem(404, str(error), error.fix)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        return problem(422, "; ".join(found), f"{SEE} is taken")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return _unrouted(request, error, table)


def _unrouted(request: Request, error: HTTPException, table: RouteTable) -> Response:
    """What no route answers: another method, an address that is none."""
    inside = request.url.path
    path, headers = request.scope.get("asked_path", inside), dict(error.headers or {})
    if error.status_code == 405:
        headers = {"allow": ", ".join(table.allowed(inside) or ["GET", "HEAD"])}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    if error.status_code == 404 and inside.endswith("/") and table.allowed(inside.rstrip("/")):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(path.rstrip("/") + query, status_code=307)
    what = f"{request.method} {path}: {error.detail}"
    return problem(error.status_code, what, f"{SEE} there is", headers)


def problem(
    status: int, error: str, fix: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    title = HTTPStatus(status).phrase
    told = Problem(title=title, status=status, detail=error, fix=fix, error=error)
    return ProblemResponse(told, headers)


def wait(error: TooManyGuesses) -> JSONResponse:
    return problem(429, error.message, error.fix, {"retry-after": str(error.wait_s)})
