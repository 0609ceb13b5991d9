"""What a run that took pictures off the line came to."""

from __future__ import annotations

import msgspec

KEPT, GONE, NONE, BAD = "kept in the plant", "gone from its box", "never kept", "not what was asked"
AWAY, SILENT = "its box is away", "its box does not answer"
LATER = frozenset({AWAY, SILENT})


class CollectionReport(msgspec.Struct, kw_only=True):
    """What a run came to.

    found      parts that fit
    fetched    pictures that came in this run; there: that were there before it
    labelled   in the manifest, of all that are there; unlabelled, regions: in their own lists
    refused    parts without a picture, by why
    told       what the cloud said of those, the first of each kind
    """

    out: str
    found: int = 0
    fetched: int = 0
    there: int = 0
    labelled: int = 0
    unlabelled: int = 0
    regions: int = 0
    refused: dict[str, int] = {}
    told: dict[str, str] = {}

    @property
    def later(self) -> int:
        """Pictures that may come in another run."""
        return sum(count for why, count in self.refused.items() if why in LATER)
