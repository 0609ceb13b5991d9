"""What the cloud knows of a site's devices, over its HTTP API."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from shared.errors import TransportError

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
    headers = {"Authorization": f"Bearer {cloud.token}"} if cloud.token else {}
    try:
        with httpx.Client(transport=transport, timeout=TIMEOUT_S, headers=headers) as client:
            answer = client.get(f"{cloud.url.rstrip('/')}/api/devices")
            answer.raise_for_status()
            rows = answer.json()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        fix = (
            "give a token in SPLITSIGHT_TOKEN"
            if status in {401, 403}
            else "check the address and the cloud's log"
        )
        raise TransportError(f"the cloud at {cloud.url} answered {status}", fix=fix) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise TransportError(
            f"the cloud at {cloud.url} can't be read ({error})",
            fix="check the address; `splitsight cloud serve` prints it",
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TransportError(f"{cloud.url} is not a splitsight cloud", fix="check the address")
    return rows
