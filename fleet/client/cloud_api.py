"""What the cloud knows of a site's devices, and what it is told of them, over its HTTP API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shared.errors import IdentityError, RolloutError, TransportError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class CloudAddress:
    """url: of the cloud's API, without a path; token: where the cloud asks for one."""

    url: str
    token: str | None = None


def list_devices(
    cloud: CloudAddress, transport: httpx.BaseTransport | None = None
) -> list[dict[str, object]]:
    """Every device that the cloud has heard of, as its API tells it.

    Raises TransportError where the cloud does not answer, refuses, or is something else.
    """
    return _rows(cloud, _told(cloud, _ask(cloud, "GET", "/api/devices", None, transport)))


def list_tails(
    cloud: CloudAddress, transport: httpx.BaseTransport | None = None
) -> list[dict[str, object]]:
    """Every tail that the cloud serves or should. Raises as above."""
    return _rows(cloud, _told(cloud, _ask(cloud, "GET", "/api/fleet/tails", None, transport)))


def list_identities(
    cloud: CloudAddress, transport: httpx.BaseTransport | None = None
) -> list[dict[str, object]] | None:
    """Every device with a certificate; None where the cloud has no fleet. Raises as above."""
    answer = _ask(cloud, "GET", "/api/fleet/identities", None, transport)
    return None if answer.status_code == 404 else _rows(cloud, _told(cloud, answer))


def tell(
    cloud: CloudAddress,
    path: str,
    body: Mapping[str, object],
    transport: httpx.BaseTransport | None = None,
) -> dict[str, object]:
    """Have something done under /api/fleet; what the cloud answers, empty where that is nothing.

    Raises TransportError as above, and IdentityError with the cloud's words where it says no.
    """
    answer = _ask(cloud, "POST", f"/api/fleet/{path}", body, transport)
    if answer.status_code in {403, 404, 409, 422}:
        raise _said_no(cloud, answer)
    told = _told(cloud, answer)
    if not isinstance(told, dict):
        raise TransportError(f"{cloud.url} is not a splitsight cloud", fix="check the address")
    return told


def ask_cloud(cloud: CloudAddress, path: str, transport: httpx.BaseTransport | None = None) -> Any:
    """What the cloud says under /api/fleet. Raises as `tell_cloud`."""
    return _fleet_said(cloud, _ask(cloud, "GET", f"/api/fleet/{path}", None, transport))


def tell_cloud(
    cloud: CloudAddress,
    path: str,
    body: Mapping[str, object],
    transport: httpx.BaseTransport | None = None,
) -> Any:
    """What the cloud answers to a wish about rollouts or devices.

    Raises TransportError, or RolloutError with the cloud's words where it says no.
    """
    return _fleet_said(cloud, _ask(cloud, "POST", f"/api/fleet/{path}", body, transport))


def _fleet_said(cloud: CloudAddress, answer: httpx.Response) -> Any:
    if answer.status_code in {404, 409, 422}:
        refused = _said_no(cloud, answer)
        if isinstance(refused, IdentityError):
            raise RolloutError(refused.message, fix=refused.fix)
        raise refused
    return _told(cloud, answer)


def with_identities(
    devices: Iterable[Mapping[str, object]], identities: Iterable[Mapping[str, Any]], now: float
) -> list[dict[str, object]]:
    """Devices with what is known of their certificates; those that never spoke come last.

    now   UTC seconds, for how many days a certificate is still good
    """
    known = {str(identity["device"]): identity for identity in identities}
    heard = [dict(device) for device in devices]
    names = {str(device.get("device")) for device in heard}
    blank = dict.fromkeys(heard[0], "") if heard else {}
    silent = [
        {**blank, "site": i["site"], "line": i["line"], "device": name}
        for name, i in known.items()
        if name not in names
    ]
    return [row | _identity(known.get(str(row["device"])), now) for row in [*heard, *silent]]


def _identity(identity: Mapping[str, Any] | None, now: float) -> dict[str, object]:
    if identity is None:
        return {
            "identity": "none",
            "reason": "",
            "serial": "",
            "days_left": None,
            "renewed_at": None,
        }
    return {
        "identity": identity["standing"],
        "reason": identity["reason"],
        "serial": identity["serial"],
        "days_left": round((float(identity["not_after"]) - now) / 86400, 2),
        "renewed_at": identity["renewed_at"],
    }


def _ask(
    cloud: CloudAddress,
    method: str,
    path: str,
    body: Mapping[str, object] | None,
    transport: httpx.BaseTransport | None,
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {cloud.token}"} if cloud.token else {}
    try:
        with httpx.Client(transport=transport, timeout=TIMEOUT_S, headers=headers) as client:
            return client.request(method, f"{cloud.url.rstrip('/')}{path}", json=body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise _unreadable(cloud, error) from error


def _told(cloud: CloudAddress, answer: httpx.Response) -> object:
    try:
        answer.raise_for_status()
        return answer.json() if answer.content else {}
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        fix = (
            "give a token in SPLITSIGHT_TOKEN"
            if status in {401, 403}
            else "check the address and the cloud's log"
        )
        raise TransportError(f"the cloud at {cloud.url} answered {status}", fix=fix) from error
    except ValueError as error:
        raise _unreadable(cloud, error) from error


def _rows(cloud: CloudAddress, rows: object) -> list[dict[str, object]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TransportError(f"{cloud.url} is not a splitsight cloud", fix="check the address")
    return rows


def _said_no(cloud: CloudAddress, answer: httpx.Response) -> IdentityError | TransportError:
    try:
        said = answer.json()
        return IdentityError(str(said["error"]), fix=str(said["fix"]))
    except (ValueError, KeyError, TypeError):
        return TransportError(
            f"the cloud at {cloud.url} answered {answer.status_code}", fix="check the address"
        )


def _unreadable(cloud: CloudAddress, error: Exception) -> TransportError:
    return TransportError(
        f"the cloud at {cloud.url} can't be read ({error})",
        fix="check the address; `splitsight cloud serve` prints it",
    )
