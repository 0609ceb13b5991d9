"""Parts, their labels and their pictures, over the cloud's HTTP API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from fleet.client.cloud_api import CloudApi
from shared.contracts import InspectionKey
from shared.errors import AccessRefused, DataError, SplitsightError

PICTURE_TIMEOUT_S = 40.0
"""Longer than a cloud waits for a box."""
PAGE = 500
# What is no picture and yet an answer; see docs/guides/pictures.md.
ANSWERS = frozenset({200, 403, 404, 410, 429, 502, 504})
Asked = Mapping[str, str | int | float | bool]
View = dict[str, Any]


class PartApi(CloudApi):
    """The API of one cloud over one connection, which ends with the block.

    Calls raise TransportError where the cloud does not answer, and AccessRefused or DataError
    with its words where it won't.
    """

    def __init__(
        self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        super().__init__(url, token, transport)
        self._kept = self._opened(PICTURE_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._kept.close()

    def parts(self, wanted: Asked, most: int | None) -> Iterator[View]:
        """Inspections that fit, the last that came first, at most so many."""
        cursor: str | None = None
        left = most
        while left is None or left > 0:
            limit = PAGE if left is None else min(PAGE, left)
            asked = {**wanted, "limit": limit, **({"cursor": cursor} if cursor else {})}
            page = self._view(self._ask("GET", "inspections", params=asked), DataError)
            found = self._rows(page.get("inspections"))
            yield from found
            left = None if left is None else left - len(found)
            cursor = page.get("next")
            if cursor is None:
                return

    def part(self, key: InspectionKey) -> View | None:
        """One inspection; None where the cloud keeps it no more."""
        answer = self._ask("GET", _of(key))
        return None if answer.status_code == 404 else self._view(answer, DataError)

    def labels(self, key: InspectionKey) -> list[View]:
        """Everything that inspectors said of it, newest first."""
        return self._rows(self._accepted(self._ask("GET", f"{_of(key)}/labels"), DataError))

    def drawing(self, key: InspectionKey, number: int) -> bytes:
        """Where an inspector drew that the defect is: a PNG of the whole picture."""
        answer = self._ask("GET", f"{_of(key)}/labels/{number}/drawing.png")
        if answer.status_code != 200:
            self._accepted(answer, DataError)
        return answer.content

    def picture_state(self, key: InspectionKey) -> View:
        """Whether its picture can be seen now. Raises AccessRefused for who may see none."""
        return self._view(self._ask("GET", f"{_of(key)}/picture/state"), AccessRefused)

    def picture(self, key: InspectionKey, reason: str) -> httpx.Response:
        """The picture, or why there is none: an answer of one of the codes in ANSWERS."""
        answer = self._ask("GET", f"{_of(key)}/picture", params={"reason": reason})
        if answer.status_code not in ANSWERS:
            self._accepted(answer, DataError)
        return answer

    def _view(self, answer: httpx.Response, refused: type[SplitsightError]) -> View:
        view = self._accepted(answer, refused)
        if not isinstance(view, dict):
            raise self._stranger()
        return view

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        yield self._kept


def _of(key: InspectionKey) -> str:
    return f"inspections/{quote(key.device, safe='')}/{quote(key.boot, safe='')}/{key.sequence}"
