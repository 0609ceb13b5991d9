"""What a page in the cloud is lent."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.records.queries import Records
from shared.plugins.pages import PageContext


@dataclass(frozen=True, slots=True)
class RecordsContext(PageContext):
    """What a page in the cloud is lent beside that: what is recorded, to read from any thread."""

    records: Records
