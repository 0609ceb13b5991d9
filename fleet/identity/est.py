"""Enrolment over HTTPS by the names of EST (RFC 7030), for devices.

Certificates go out as PKCS#7 certs-only in base64, requests come in as PKCS#10 in base64. The
claim token is the password of HTTP Basic, or a Bearer token. Refusals are one JSON object
{error, fix}.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fleet.identity.admission import RefusalLimiter
from fleet.identity.registrar import Registrar
from fleet.identity.requests import MAX_REQUEST, DeviceRequest, read_request
from shared.errors import ClaimRefused, IdentityError, SplitsightError
from shared.log import get_logger

log = get_logger("gateway")

PREFIX = "/.well-known/est"
STANDING = "/.well-known/splitsight/standing"
REVOKED = "/.well-known/splitsight/revoked"
# Base64, with its line ends.
MAX_BODY = MAX_REQUEST * 2
BODY_TIMEOUT_S = 10.0
BUSY_S = 30.0

Endpoint = Callable[[Request], Awaitable[Response]]


class EnrolmentRefused(Exception):
    """What a device reads instead of a certificate."""

    def __init__(self, status: HTTPStatus, error: str, fix: str, wait_s: float = 0.0) -> None:
        super().__init__(error)
        self.status, self.error, self.fix, self.wait_s = status, error, fix, wait_s

    def response(self) -> JSONResponse:
        headers = {}
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Basic realm="claim"'
        if self.wait_s:
            headers["retry-after"] = str(math.ceil(self.wait_s))
        return problem(self.status, self.error, self.fix, headers)


def problem(
    status: int, error: str, fix: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": error, "fix": fix}, status_code=status, headers=headers)


def est_routes(registrar: Registrar, turnstile: RefusalLimiter) -> list[Route]:
    """What the gateway answers of EST, and a device's own standing."""

    async def authorities(_request: Request) -> Response:
        return certificates([registrar.authority.certificate])

    async def enrol(request: Request) -> Response:
        token = _token(request)
        wanted = await _request(request)
        return certificates([await run_in_threadpool(registrar.enrol, token, wanted)])

    async def renew(request: Request) -> Response:
        shown = _shown(request)
        wanted = await _request(request)
        return certificates([await run_in_threadpool(registrar.renew, shown, wanted)])

    async def standing(request: Request) -> Response:
        found = await run_in_threadpool(registrar.identify, _shown(request))
        return JSONResponse(
            {
                "device": found.record.device,
                "not_after": found.record.not_after,
                "standing": "active",
            }
        )

    async def revoked(_request: Request) -> Response:
        try:
            listed = await run_in_threadpool(registrar.authority.files.revoked.read_bytes)
        except OSError as error:
            raise EnrolmentRefused(
                HTTPStatus.SERVICE_UNAVAILABLE, "the list can't be read", "try again", BUSY_S
            ) from error
        return Response(listed, media_type="application/x-pem-file")

    def at(path: str, endpoint: Endpoint, method: str) -> Route:
        return Route(path, _guarded(endpoint, turnstile), methods=[method])

    return [
        at(f"{PREFIX}/cacerts", authorities, "GET"),
        at(f"{PREFIX}/simpleenroll", enrol, "POST"),
        at(f"{PREFIX}/simplereenroll", renew, "POST"),
        at(STANDING, standing, "GET"),
        at(REVOKED, revoked, "GET"),
    ]


def certificates(found: Sequence[x509.Certificate]) -> Response:
    """RFC 7030, 4.1.3: certs-only, base64."""
    raw = pkcs7.serialize_certificates(list(found), Encoding.DER)
    return Response(
        base64.encodebytes(raw),
        media_type="application/pkcs7-mime; smime-type=certs-only",
        headers={"content-transfer-encoding": "base64"},
    )


def _guarded(endpoint: Endpoint, turnstile: RefusalLimiter) -> Endpoint:
    """Errors become one answer; who is refused too often has to wait."""

    async def guarded(request: Request) -> Response:
        address = request.client.host if request.client else ""
        wait_s = turnstile.wait_s(address)
        if wait_s:
            return _wait(wait_s).response()
        try:
            return await endpoint(request)
        except (EnrolmentRefused, SplitsightError) as error:
            refusal = _refusal(error)
        if refusal.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            turnstile.refused(address)
        log.warning("refused", path=request.url.path, address=address, reason=refusal.error)
        return refusal.response()

    return guarded


def _refusal(error: EnrolmentRefused | SplitsightError) -> EnrolmentRefused:
    match error:
        case EnrolmentRefused():
            return error
        case ClaimRefused():
            return EnrolmentRefused(HTTPStatus.UNAUTHORIZED, error.message, error.fix)
        case IdentityError():
            return EnrolmentRefused(HTTPStatus.FORBIDDEN, error.message, error.fix)
        case _:
            return EnrolmentRefused(
                HTTPStatus.SERVICE_UNAVAILABLE, error.message, error.fix, BUSY_S
            )


def _wait(seconds: float) -> EnrolmentRefused:
    return EnrolmentRefused(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too many requests from this address were refused",
        f"wait {math.ceil(seconds)} s, and check the claim token",
        seconds,
    )


def _token(request: Request) -> str:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    given = given.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    if not given:
        raise EnrolmentRefused(
            HTTPStatus.UNAUTHORIZED,
            "no claim token came",
            "send it as the password of HTTP Basic or as a Bearer token",
        )
    return given


def _shown(request: Request) -> x509.Certificate:
    """The client's certificate, whose key and signer TLS has checked."""
    der = getattr(request.state, "peer_certificate", None)
    if der is None:
        raise EnrolmentRefused(
            HTTPStatus.FORBIDDEN,
            "no client certificate came",
            "show the device's certificate in TLS, or enrol with a claim",
        )
    try:
        return x509.load_der_x509_certificate(der)
    except Exception as error:
        # TLS took it, which reads less of it than this library does.
        raise EnrolmentRefused(
            HTTPStatus.FORBIDDEN, "the client certificate can't be read", "enrol with a new claim"
        ) from error


async def _request(request: Request) -> DeviceRequest:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise EnrolmentRefused(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"the request is larger than {MAX_BODY} B",
                        "send one PKCS#10 request in base64",
                    )
    except TimeoutError as error:
        raise EnrolmentRefused(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the request did not come within {BODY_TIMEOUT_S:g} s",
            "send it again",
        ) from error
    except ClientDisconnect as error:
        raise EnrolmentRefused(
            HTTPStatus.BAD_REQUEST, "the request broke off", "send it again"
        ) from error
    try:
        raw = base64.b64decode(bytes(body).translate(None, b" \r\n\t"), validate=True)
        return read_request(raw)
    except binascii.Error as error:
        raise EnrolmentRefused(
            HTTPStatus.BAD_REQUEST, "the body is not base64", "see RFC 7030, 4.2.1"
        ) from error
    except IdentityError as error:
        raise EnrolmentRefused(HTTPStatus.BAD_REQUEST, error.message, error.fix) from error
