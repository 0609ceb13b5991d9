"""What the cloud knows of a site's devices, and what it is asked to do, over its HTTP API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from shared.errors import IdentityError, RolloutError, SplitsightError, TransportError

TIMEOUT_S = 10.0
REFUSALS = frozenset({403, 404, 409, 422, 429})

Rows = list[dict[str, object]]


class CloudApi:
    """The API of one cloud.

    url     without a path; token: where the cloud asks for one
    Each call raises TransportError where the cloud does not answer, or is something else.
    """

    def __init__(
        self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._transport = transport

    @classmethod
    def at(cls, url: str) -> CloudApi:
        """With the token of this shell."""
        return cls(url, os.environ.get("SPLITSIGHT_TOKEN"))

    def name(self) -> str | None:
        """Whose token this is; None without one, and for one that is nobody's own.

        Raises TransportError where the cloud does not know it.
        """
        if not self._headers:
            return None
        me = self._content(self._ask("GET", "me"))
        own = isinstance(me, dict) and me.get("means") == "token"
        return str(me["name"]) if own else None

    def devices(self) -> Rows:
        """Every device that the cloud has heard of."""
        return self._rows(self._content(self._ask("GET", "devices")))

    def tails(self) -> Rows:
        """Every tail that the cloud serves or should."""
        return self._rows(self._content(self._ask("GET", "fleet/tails")))

    def identities(self) -> Rows | None:
        """Every device with a certificate; None where the cloud has no fleet."""
        answer = self._ask("GET", "fleet/identities")
        return None if answer.status_code == 404 else self._rows(self._content(answer))

    def get(self, path: str, refused: type[SplitsightError] = RolloutError) -> Any:
        """What lies under /api/v1/fleet. Raises `refused` with the cloud's words where it won't."""
        return self._accepted(self._ask("GET", f"fleet/{path}"), refused)

    def post(
        self, path: str, body: Mapping[str, object], refused: type[SplitsightError] = RolloutError
    ) -> Any:
        """Have something done under /api/v1/fleet; what the cloud answers. Raises as `get`."""
        return self._accepted(self._ask("POST", f"fleet/{path}", body), refused)

    def identify(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Have something done about an identity. Raises IdentityError with the cloud's words."""
        answer = self.post(path, body, IdentityError)
        if not isinstance(answer, dict):
            raise self._stranger()
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str | int | float | bool] | None = None,
    ) -> httpx.Response:
        where = f"{self._url.rstrip('/')}/api/v1/{path}"
        try:
            with self._client() as client:
                return client.request(method, where, json=body, params=params)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise self._unreadable(error) from error

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with self._opened(TIMEOUT_S) as client:
            yield client

    def _opened(self, timeout_s: float) -> httpx.Client:
        return httpx.Client(transport=self._transport, timeout=timeout_s, headers=self._headers)

    def _accepted(self, answer: httpx.Response, refused: type[SplitsightError]) -> Any:
        if answer.status_code in REFUSALS:
            try:
                no = answer.json()
                raise refused(str(no["error"]), fix=str(no["fix"]))
            except (ValueError, KeyError, TypeError):
                raise self._answered(answer, "check the address") from None
        return self._content(answer)

    def _content(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            if answer.status_code == 401:
                make = "`splitsight cloud token add` on its machine makes one"
                raise self._answered(answer, f"give a token in SPLITSIGHT_TOKEN; {make}")
            if answer.status_code == 403:
                raise self._answered(answer, "give SPLITSIGHT_TOKEN a token that may do this")
            raise self._answered(answer, "check the address and the cloud's log")
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise self._unreadable(error) from error

    def _rows(self, rows: Any) -> Rows:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._stranger()
        return rows

    def _stranger(self) -> TransportError:
        return TransportError(f"{self._url} is not a splitsight cloud", fix="check the address")

    def _answered(self, answer: httpx.Response, fix: str) -> TransportError:
        return TransportError(f"the cloud at {self._url} answered {answer.status_code}", fix=fix)

    def _unreadable(self, error: Exception) -> TransportError:
        return TransportError(
            f"the cloud at {self._url} can't be read ({error})",
            fix="check the address; `splitsight cloud serve` prints it",
        )


def with_identities(devices: Iterable[Mapping[str, object]], identities: Rows, now: float) -> Rows:
    """Devices with what is known of their certificates; those that never spoke come last.

    now   UTC seconds, for how many days a certificate is still good
    """
    known: dict[str, Mapping[str, Any]] = {str(one["device"]): one for one in identities}
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
        blank = {"identity": "none", "reason": "", "serial": ""}
        return {**blank, "days_left": None, "renewed_at": None}
    return {
        "identity": identity["standing"],
        "reason": identity["reason"],
        "serial": identity["serial"],
        "days_left": round((float(identity["not_after"]) - now) / 86400, 2),
        "renewed_at": identity["renewed_at"],
    }
