"""What inspecting took: bytes, the tail's time and storage, beside sending every picture."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable

from pydantic import BaseModel, Field
from sqlalchemy import text

from cloud.configuration.prices import PriceSettings
from cloud.records.database import Database
from cloud.records.rollups import Rollups
from cloud.records.totals import Totals

GB = 1e9
HOUR_S = 3600.0
PAID = ("inspected", "escalated", "escalated_bytes", "frame_bytes", "cloud_ms")
SIZES = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}


class Expense(BaseModel):
    """What some parts took. Amounts are in the currency of the settings `prices`."""

    parts: int
    escalated: int
    sent_bytes: int = Field(description="features of escalations, as they came")
    picture_bytes: int = Field(description="JPEGs of all parts, had each been sent")
    cloud_s: float = Field(description="from arrival to answer, of all answers")
    amount: float = Field(description="for what was sent and the tail's time")
    picture_amount: float = Field(description="for sending every JPEG, without judging it")

    def per_thousand(self, value: float) -> float | None:
        """Of 1,000 parts; None where there were none."""
        return 1000.0 * value / self.parts if self.parts else None


class LineExpense(Expense):
    """What one line took."""

    site: str
    line: str


class CostReport(BaseModel):
    """What was taken since then, line by line and in all."""

    since: float = Field(description="UTC seconds")
    until: float = Field(description="UTC seconds")
    currency: str
    priced: bool = Field(description="whether any price is set")
    lines: list[LineExpense]
    total: Expense
    storage_bytes: int = Field(description="of the database as it is now, maps among it")
    storage_month: float = Field(description="amount for keeping that for 30 days")
    cpu_s: float = Field(description="of this process, all its threads, since it started")
    cpu_of_s: float = Field(description="for how long it has run")


class CostMeter:
    """Reads what was taken, from roll-ups. Safe to share between threads."""

    def __init__(self, database: Database, rollups: Rollups, prices: PriceSettings) -> None:
        self._database = database
        self._rollups = rollups
        self._prices = prices
        self._started = time.monotonic()

    def report(self, since: float, until: float) -> CostReport:
        """Of [since, until), UTC seconds. Raises RecordsError."""
        prices = self._prices
        found = self._rollups.by(("site", "line"), since=since, until=until, measures=PAID)
        lines = [
            LineExpense(site=group[0], line=group[1], **self._expense(totals).model_dump())
            for group, totals in found.items()
        ]
        total = _sum(lines)
        stored = self._stored()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return CostReport(
            since=since,
            until=until,
            currency=prices.currency,
            priced=any((prices.network_gb, prices.cloud_hour, prices.storage_gb_month)),
            lines=lines,
            total=total,
            storage_bytes=stored,
            storage_month=stored / GB * prices.storage_gb_month,
            cpu_s=used.ru_utime + used.ru_stime,
            cpu_of_s=time.monotonic() - self._started,
        )

    def _expense(self, totals: Totals) -> Expense:
        prices, cloud_s = self._prices, totals.cloud_ms / 1000
        sent = totals.escalated_bytes / GB * prices.network_gb
        return Expense(
            parts=totals.inspected,
            escalated=totals.escalated,
            sent_bytes=totals.escalated_bytes,
            picture_bytes=totals.frame_bytes,
            cloud_s=cloud_s,
            amount=sent + cloud_s / HOUR_S * prices.cloud_hour,
            picture_amount=totals.frame_bytes / GB * prices.network_gb,
        )

    def _stored(self) -> int:
        with self._database.begin() as connection:
            return int(connection.execute(text(SIZES[connection.dialect.name])).scalar_one())


def _sum(lines: Iterable[LineExpense]) -> Expense:
    every = list(lines)
    return Expense(
        **{name: sum(getattr(one, name) for one in every) for name in Expense.model_fields}
    )
