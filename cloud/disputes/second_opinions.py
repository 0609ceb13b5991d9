"""Has inspectors look again at disputed pictures that came off a line, over the cloud's API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import httpx
import msgspec

from cloud.datasets.dataset import GOOD
from cloud.disputes.label_quality import DisputedLabel
from shared.errors import AccessRefused, TransportError

AT_ONCE = 200
TIMEOUT_S = 10.0
WORDS = {
    "asked": "another inspector is asked",
    "waiting": "one is asked already",
    "settled": "two or more inspectors agree on the label",
    "unlabelled": "the cloud has no label of it",
}


class AskedAgain(msgspec.Struct, frozen=True):
    """states: parts by what the cloud answered. elsewhere: disputed pictures off no line."""

    states: dict[str, int]
    elsewhere: int

    @property
    def told(self) -> str:
        """In a sentence."""
        said = [f"{count}: {WORDS.get(state, state)}" for state, count in self.states.items()]
        if self.elsewhere:
            said.append(f"{self.elsewhere}: from no line, correct them in the data set")
        return f"Parts in dispute – {'; '.join(said) or 'none'}."


class _Answer(msgspec.Struct):
    state: str


def ask_again(
    url: str,
    rows: Sequence[DisputedLabel],
    token: str | None = None,
    transport: httpx.BaseTransport | None = None,
) -> AskedAgain:
    """Put those that came off a line into the review queue; of a part the surest picture counts.

    url    of the cloud, without a path. token: an engineer's
    Raises AccessRefused where the token may not do this, TransportError where there is no cloud.
    """
    worth: dict[tuple[str, str, int], float] = {}
    for row in rows:
        if row.origin is not None:
            key = (row.origin.device, row.origin.boot, row.origin.sequence)
            sure = row.score if row.suggested != GOOD else 1 - row.score
            worth[key] = max(sure, worth.get(key, 0.0))
    states: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(transport=transport, timeout=TIMEOUT_S, headers=headers) as client:
            for start in range(0, len(worth), AT_ONCE):
                some = list(worth.items())[start : start + AT_ONCE]
                parts = [
                    {"device": device, "boot": boot, "sequence": sequence, "worth": sure}
                    for (device, boot, sequence), sure in some
                ]
                where = f"{url.rstrip('/')}/api/v1/labels/disputes"
                states.update(_states(client.post(where, json={"parts": parts}), url))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransportError(
            f"the cloud at {url} can't be read ({error})",
            fix="check the address; `splitsight cloud serve` prints it",
        ) from error
    return AskedAgain(dict(states), sum(row.origin is None for row in rows))


def _states(answer: httpx.Response, url: str) -> list[str]:
    if answer.status_code in {401, 403}:
        raise AccessRefused(
            f"the cloud at {url} answered {answer.status_code}",
            fix="give SPLITSIGHT_TOKEN an engineer's token of the scope `label`",
        )
    try:
        answer.raise_for_status()
        return [one.state for one in msgspec.json.decode(answer.content, type=list[_Answer])]
    except (httpx.HTTPStatusError, msgspec.DecodeError) as error:
        raise TransportError(
            f"the cloud at {url} answered {answer.status_code}, and no states of disputes",
            fix="check the address, and that the cloud is of this version",
        ) from error
