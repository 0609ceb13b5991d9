"""What a caller reads when something is wrong: what came, and what to do."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from shared.errors import (
    AccessRefused,
    RecordsError,
    SettingsError,
    SplitsightError,
    TooManyGuesses,
)


class Problem(BaseModel):
    """The body of every answer that is not 2xx."""

    error: str = Field(description="what came, and what was wanted")
    fix: str = Field(description="what to do about it")


class NotFound(Exception):
    """Nothing is there under this address."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def handle_problems(app: FastAPI) -> None:
    """Answer every error as a Problem."""

    @app.exception_handler(RecordsError)
    def records(_request: Request, error: RecordsError) -> JSONResponse:
        return problem(503, error.message, error.fix)

    @app.exception_handler(SettingsError)
    def settings(_request: Request, error: SettingsError) -> JSONResponse:
        return problem(422, error.message, error.fix)

    @app.exception_handler(AccessRefused)
    def not_allowed(_request: Request, error: AccessRefused) -> JSONResponse:
        return problem(403, error.message, error.fix)

    @app.exception_handler(TooManyGuesses)
    def too_many(_request: Request, error: TooManyGuesses) -> JSONResponse:
        return wait(error)

    @app.exception_handler(SplitsightError)
    def refused(_request: Request, error: SplitsightError) -> JSONResponse:
        """What a plugged-in service can't do as things are."""
        return problem(409, error.message, error.fix)

    @app.exception_handler(NotFound)
    def not_found(_request: Request, error: NotFound) -> JSONResponse:
        return problem(404, str(error), error.fix)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        return problem(422, "; ".join(found), "see /api/openapi.json for what is taken")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}: {error.detail}"
        return problem(error.status_code, what, "see /api/openapi.json for what there is")


def problem(status: int, error: str, fix: str) -> JSONResponse:
    return JSONResponse(Problem(error=error, fix=fix).model_dump(), status_code=status)


def wait(error: TooManyGuesses) -> JSONResponse:
    answer = problem(429, error.message, error.fix)
    answer.headers["retry-after"] = str(error.wait_s)
    return answer
