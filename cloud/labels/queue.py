"""What a person should look at, ordered by what a decision is worth.

    review        neither edge nor cloud is sure, and the part lies in a bin until somebody speaks
    contradicted  the deadline diverted it, and the cloud said since that it is good
    split         two inspectors differ, and a third is asked
    disputed      an inspector's label, and the system is sure of the other verdict
    deadline      nobody answered in time: the part was diverted to be safe
    drift         from a time in which something has changed
    second        a label of any kind, drawn at random, to see how well inspectors agree
    sample        a part of any kind, drawn at random, to see what the system lets through

The last two are mixed in among the others, so that nobody knows which they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import Select, exists, func, or_, select
from sqlmodel import col

from cloud.labels.leases import Leases
from cloud.labels.tables import LabelEntry, ReviewLease, SecondLook
from cloud.records.database import Database
from cloud.records.keys import same_key
from cloud.records.rollup_tally import FIRST
from cloud.records.settlement import contradicts
from cloud.records.tables import INSPECTIONS, SAMPLED, WAITS_FOR_PERSON, LabelRecord, TailRecord
from shared.clock import Clock
from shared.contracts import InspectionKey

Reason = Literal[
    "review", "contradicted", "split", "disputed", "deadline", "drift", "second", "sample"
]
REASONS: tuple[Reason, ...] = get_args(Reason)
# Of a hundred parts that are given out ten are drawn at random, as long as there are others.
MIXED_SHARE = 0.1
# Of those that the deadline diverted so many are looked through for answers that came late.
LOOKED_THROUGH = 2_000
SAMPLE_S = 7 * 86_400.0
MOST_COUNTED = 1_000
# So many labels of a time in which something has changed say what it means for the parts.
ENOUGH_OF_WINDOW = 50
# Others take parts at the same moment: then it looks for what is left.
TRIES = 10

ROW = INSPECTIONS.c
Query: TypeAlias = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class ReviewScope:
    """Which parts are asked for; None: any."""

    site: str | None = None
    line: str | None = None
    device: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which something has changed on a line, UTC seconds by when parts came.

    device, recipe, bundle   of which parts; None: of any
    """

    site: str
    line: str
    since: float
    until: float
    device: str | None = None
    recipe: str | None = None
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A part to look at."""

    key: InspectionKey
    reason: Reason


class ReviewQueue:
    """Safe to share between threads, and between the cloud's processes.

    drifted   times in which something has changed, the worst first
    draw      gives a number from 0 to 1 whenever one is given out
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        drifted: Callable[[], Sequence[Window]] = list,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._clock = clock
        self.leases = Leases(database, clock)
        self._drifted = drifted
        self._draw = draw

    def take(
        self,
        holder: str,
        count: int,
        scope: ReviewScope | None = None,
        without: Collection[InspectionKey] = (),
    ) -> list[QueueItem]:
        """Parts for this inspector, which nobody else is given for a while. Raises RecordsError.

        without   what they have before them already
        """
        found: list[QueueItem] = []
        for _ in range(TRIES):
            before = {*without, *(one.key for one in found)}
            chosen: dict[InspectionKey, QueueItem] = {}
            for item in self._mixed(holder, scope or ReviewScope(), count + len(without)):
                if len(found) + len(chosen) == count:
                    break
                if item.key not in before:
                    chosen.setdefault(item.key, item)
            reasons = {key: item.reason for key, item in chosen.items()}
            had = self.leases.take(reasons, holder)
            found += [item for key, item in chosen.items() if key in had]
            if len(had) == len(chosen):
                break
        return found

    def waiting(self, holder: str, scope: ReviewScope | None = None) -> dict[Reason, int]:
        """How many wait for this inspector by reason, those without any left out; at most
        MOST_COUNTED of each. What is drawn at random is not told."""
        counts: dict[Reason, int] = {}
        with self._database.begin() as connection:
            for reason in REASONS[: REASONS.index("drift")]:
                query = self._query(reason, holder, scope or ReviewScope())
                # In no order, so that it ends with as many as are told.
                subquery = query.order_by(None).limit(MOST_COUNTED).subquery()
                number: int = connection.execute(
                    select(func.count()).select_from(subquery)
                ).scalar_one()
                if number:
                    counts[reason] = number
        return counts

    def _mixed(self, holder: str, scope: ReviewScope, count: int) -> Iterator[QueueItem]:
        """The most worth first; now and then one that is drawn at random."""
        # Somebody else may take some of them at the same moment.
        ample = 2 * count + 10
        main = self._by_worth(holder, scope, ample, REASONS[: REASONS.index("second")])
        others = list(self._by_worth(holder, scope, ample, ("second", "sample")))
        self._shuffle(others)
        spare = iter(others)
        for item in main:
            if self._draw() < MIXED_SHARE:
                yield from islice(spare, 1)
            yield item
        yield from spare

    def _shuffle(self, items: list[QueueItem]) -> None:
        order = sorted(range(len(items)), key=lambda _: self._draw())
        items[:] = [items[place] for place in order]

    def _by_worth(
        self, holder: str, scope: ReviewScope, count: int, reasons: Sequence[Reason]
    ) -> Iterator[QueueItem]:
        seen: set[InspectionKey] = set()
        for reason in reasons:
            for key in self._keys(reason, holder, scope, count):
                if key not in seen:
                    seen.add(key)
                    yield QueueItem(key, reason)

    def _keys(
        self, reason: Reason, holder: str, scope: ReviewScope, count: int
    ) -> list[InspectionKey]:
        if reason == "drift":
            return self._of_windows(holder, scope, count)
        query = self._query(reason, holder, scope).limit(count)
        with self._database.begin() as connection:
            return [InspectionKey(*row[:3]) for row in connection.execute(query)]

    def _of_windows(self, holder: str, scope: ReviewScope, count: int) -> list[InspectionKey]:
        """Of each time in which something has changed some, the newest first, until enough of it
        are labelled; then it is not asked for parts any more."""
        found: list[InspectionKey] = []
        free = self._free(INSPECTIONS, holder)
        for window in self._drifted():
            if len(found) >= count:
                break
            with self._database.begin() as connection:
                labelled = connection.execute(_labels_of(window)).scalar_one()
                wanted = min(count - len(found), ENOUGH_OF_WINDOW - labelled)
                if wanted <= 0:
                    continue
                query = _of_window(scope, free, window).limit(wanted)
                found += [InspectionKey(*row[:3]) for row in connection.execute(query)]
        return found

    def _query(self, reason: Reason, holder: str, scope: ReviewScope) -> Query:
        if reason in ("split", "disputed", "second"):
            return _second_looks(reason, scope, holder, self._free(SecondLook, holder))
        free = self._free(INSPECTIONS, holder)
        if reason == "contradicted":
            return _contradicted(scope, free)
        if reason == "sample":
            since = self._clock.utc() - SAMPLE_S
            query = _parts(scope).where(SAMPLED, ROW.received_at >= since, ~_labelled(), free)
            return query.where(~WAITS_FOR_PERSON).order_by(ROW.received_at.desc())
        own = _by("verdict", "review") if reason == "review" else _by("decided_by", "deadline")
        query = _parts(scope).where(WAITS_FOR_PERSON, own, ~_labelled(), free)
        if reason == "deadline":
            query = query.where(ROW.verdict != "review")
        return query.order_by(ROW.received_at)

    def _free(self, table: Any, holder: str) -> Any:
        """Nobody else has it before them."""
        lease = ReviewLease
        held = (col(lease.holder) != holder, col(lease.until) > self._clock.utc())
        return ~exists().where(same_key(lease, table), *held)


def _of_scope(scope: ReviewScope) -> list[Any]:
    """Read from the index of what waits, which holds these columns: by that of a line, all parts
    of the line would be looked at."""
    named = ((name, getattr(scope, name)) for name in ("site", "line", "device"))
    return [_by(name, wanted) for name, wanted in named if wanted]


def _by(name: str, wanted: str) -> Any:
    """Looked at in the index of what waits, and in no index of its own."""
    return func.coalesce(ROW[name], "") == wanted


def _parts(scope: ReviewScope) -> Query:
    query = select(ROW.device, ROW.boot, ROW.sequence).where(*_of_scope(scope))
    if scope.kind is None:
        return query
    return query.where(exists().where(same_key(), col(TailRecord.kind) == scope.kind))


def _labelled() -> Any:
    return exists().where(same_key(LabelRecord))


def _contradicted(scope: ReviewScope, free: Any) -> Query:
    """Among the newest that the deadline diverted, so that the question stays a short one."""
    diverted = [WAITS_FOR_PERSON, _by("decided_by", "deadline"), *_of_scope(scope)]
    came = ROW.received_at
    oldest = select(came).where(*diverted).order_by(came.desc()).offset(LOOKED_THROUGH).limit(1)
    query = (
        select(ROW.device, ROW.boot, ROW.sequence)
        .join(TailRecord, same_key())
        .where(*diverted, came > func.coalesce(oldest.scalar_subquery(), FIRST))
        .where(contradicts(), ~_labelled(), free)
    )
    if scope.kind is not None:
        query = query.where(col(TailRecord.kind) == scope.kind)
    return query.order_by(ROW.received_at)


def _of_window(scope: ReviewScope, free: Any, window: Window) -> Query:
    query = _parts(scope).where(*_within(window), ~_labelled(), ~WAITS_FOR_PERSON, free)
    return query.order_by(ROW.received_at.desc())


def _within(window: Window) -> list[Any]:
    names = ("site", "line", "device", "recipe", "bundle")
    named = ((ROW[name], getattr(window, name)) for name in names)
    own = [column == wanted for column, wanted in named if wanted is not None]
    return [ROW.received_at >= window.since, ROW.received_at < window.until, *own]


def _labels_of(window: Window) -> Query:
    """How many there are, ENOUGH_OF_WINDOW at most. A part is labelled after it came: what was
    labelled before the window began is not looked at."""
    label = LabelRecord
    found = (
        select(col(label.device))
        .join(INSPECTIONS, same_key(label))
        .where(col(label.reviewed_at) >= window.since, *_within(window))
        .limit(ENOUGH_OF_WINDOW)
        .subquery()
    )
    return select(func.count()).select_from(found)


def _second_looks(reason: Reason, scope: ReviewScope, holder: str, free: Any) -> Query:
    """Not to those who have spoken."""
    look, entry = SecondLook, LabelEntry
    spoke = exists().where(
        same_key(entry, look), col(entry.inspector) == holder, col(entry.undone_at).is_(None)
    )
    named = ((getattr(look, name), getattr(scope, name)) for name in ("site", "line", "device"))
    place = [column == wanted for column, wanted in named if wanted]
    query = select(col(look.device), col(look.boot), col(look.sequence)).where(
        col(look.reason) == reason, *place, ~spoke, free
    )
    if scope.kind is not None:
        named = exists().where(same_key(LabelRecord, look), col(LabelRecord.kind) == scope.kind)
        suspected = exists().where(same_key(TailRecord, look), col(TailRecord.kind) == scope.kind)
        query = query.where(or_(named, suspected))
    return query.order_by(col(look.worth).desc())
