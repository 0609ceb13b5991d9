"""Whether a line's parts still are as they were at the beginning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.app import create_app
from cloud.drift.comparison import band, largest_gap, psi, spent
from cloud.drift.intake import AT_ONCE, SketchIntake
from cloud.drift.review import drifted_windows
from cloud.drift.store import DriftStore, ReceivedSketch, StreamKey
from cloud.drift.stream import MOST_RECENT, ByQuantity, ReferenceLimits, Stream
from cloud.drift.watch import of_drift
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from shared.sketch import SCALES, added
from shared.topics import Address
from shared.transport.base import Transport
from shared.transport.memory import MemoryBroker
from shared.wire import Sketch, encode
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, inspection
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import healthy

BOX = Address("plant", "line-1", "box-1")
KEY = StreamKey("plant", "line-1", "box-1", "", "tiny 1")
LIMITS = ReferenceLimits()
SIZE = 10


def counts(**values: Iterable[float]) -> ByQuantity:
    found: dict[str, dict[int, int]] = {}
    for name, numbers in values.items():
        scale = SCALES[name]  # type: ignore[index]
        found[name] = added([{scale.bin(number) or 0: 1} for number in numbers])
    return found  # type: ignore[return-value]


class Line:
    """Parts that come by, ten a sketch."""

    def __init__(self, seed: int, limits: ReferenceLimits = LIMITS) -> None:
        self.random = np.random.default_rng(seed)
        self.limits = limits
        self.stream = Stream()
        self.recent: list[ByQuantity] = []
        self.at = 0.0
        self.light = 1.0
        self.spoiled = 0.0
        self.blind = False
        """Nobody has time to measure a picture."""

    def show(self, sketches: int = 1) -> Stream:
        for _ in range(sketches):
            self.at += 2.0
            light = self.light * self.random.normal(120, 6, SIZE)
            score = self.random.beta(1, 9, SIZE) + self.spoiled
            seen = counts(score=np.clip(score, 0, 1))
            if not self.blind:
                seen = {**seen, **counts(brightness=light)}
            if self.stream.full:
                self.recent = [seen, *self.recent][:MOST_RECENT]
            self.stream = self.stream.taking(SIZE, seen, self.recent, self.at, self.limits)
        return self.stream


def test_a_line_says_that_it_still_learns_what_is_usual() -> None:
    line = Line(1)
    assert line.show(49).state == "learning"
    assert line.stream.reference_parts == 490
    assert line.stream.shifts == {}
    assert line.show(2).state == "steady"


@pytest.mark.parametrize("seed", range(8))
def test_a_lamp_at_an_eighth_is_told_within_fifty_parts(seed: int) -> None:
    line = Line(seed)
    line.show(150 + seed)
    assert line.stream.state == "steady"
    line.light = 0.12
    parts = 0
    while line.show().state != "drifted":
        parts += SIZE
        assert parts < 50
    assert parts + SIZE <= 30
    shift = line.stream.shifts["brightness"]
    assert shift.drifted
    assert shift.before == pytest.approx(120, abs=3)
    assert not line.stream.shifts["score"].drifted


def test_what_was_measured_too_rarely_goes_on_learning_and_is_told_later() -> None:
    line = Line(6)
    line.blind = True
    assert line.show(60).state == "steady"
    assert line.stream.not_compared["brightness"] == 0
    assert "score" not in line.stream.not_compared
    line.blind = False
    line.show(4)
    assert line.stream.not_compared["brightness"] == 40
    assert "brightness" not in line.stream.shifts
    line.show(60)
    assert "brightness" not in line.stream.not_compared
    assert line.stream.state == "steady"
    line.light = 0.12
    assert line.show(30).shifts["brightness"].drifted


def test_after_a_year_of_looks_it_is_told_hardly_later() -> None:
    line = Line(3)
    line.show(60)
    line.stream = replace(line.stream, looks=100_000_000)
    line.light = 0.12
    parts = SIZE
    while line.show().state != "drifted":
        parts += SIZE
    assert parts <= 50


def test_slow_changes_are_told_by_longer_looks() -> None:
    line = Line(4)
    line.show(60)
    line.light = 0.93
    for _ in range(40):
        if line.show().state == "drifted":
            break
    assert line.stream.shifts["brightness"].drifted


def test_what_is_as_before_again_is_steady_again() -> None:
    line = Line(5)
    line.show(60)
    line.light = 0.5
    line.show(5)
    since = line.stream.shifts["brightness"].since
    line.show(5)
    assert line.stream.shifts["brightness"].since == since
    line.light = 1.0
    assert line.show(80).state == "steady"


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.sampled_from([100, 500]))
def test_parts_that_stay_the_same_are_never_told(seed: int, reference: int) -> None:
    """The bound is one stream in a hundred for ever. These have 2,000 parts each, at a bound
    of one in a million, so that a failure is a fault and no chance."""
    line = Line(seed, ReferenceLimits(reference, 1e-6))
    for _ in range(200):
        assert line.show().state != "drifted"


def test_false_alarms_stay_below_their_bound_by_far() -> None:
    told = 0
    for seed in range(25):
        line = Line(seed, ReferenceLimits(100, 0.2))
        line.show(110)
        told += line.stream.state == "drifted"
    assert told <= 5


@given(st.floats(1e-9, 0.5))
def test_all_looks_together_take_no_more_than_they_may(alpha: float) -> None:
    assert sum(spent(alpha, look) for look in range(1, 3000)) <= alpha


@given(st.dictionaries(st.integers(0, 127), st.integers(1, 50), min_size=1))
def test_what_is_spread_alike_is_no_shift(bins: dict[int, int]) -> None:
    twice = {at: 2 * count for at, count in bins.items()}
    assert largest_gap(bins, twice) == pytest.approx(0)
    assert psi(bins, bins) == pytest.approx(0)


def test_the_gap_of_what_has_nothing_in_common_is_one() -> None:
    assert largest_gap({1: 10}, {2: 3}) == pytest.approx(1)
    assert psi({1: 100, 60: 100}, {100: 50}) > 0.25


def test_the_band_is_that_of_massart() -> None:
    assert band(100, 0.05) == pytest.approx(0.1358, abs=1e-4)


def sketch(number: int, seen: ByQuantity, parts: int = SIZE, boot: str = "b1") -> Sketch:
    plain = {str(name): dict(bins) for name, bins in seen.items()}
    return Sketch(boot, number, "tiny 1", "", 1.0, 2.0, parts, plain)


def filled(store: DriftStore, line: Line, first: int, count: int, at: float) -> None:
    came = []
    for number in range(first, first + count):
        light = line.light * line.random.normal(120, 6, SIZE)
        came.append(ReceivedSketch(BOX, sketch(number, counts(brightness=light)), at + number))
    store.take(came)


def test_a_shift_is_a_condition_once_for_any_number_of_workers(every_database: Database) -> None:
    clock, line = ManualClock(), Line(7)
    one, other = (DriftStore(every_database, ReferenceLimits(200)) for _ in range(2))
    start = clock.utc() - 100
    filled(one, line, 1, 25, start)
    look = of_drift(other, clock).look
    assert look() == []
    line.light = 0.12
    filled(other, line, 26, 2, start)
    filled(one, line, 28, 2, start)
    (condition,) = look()
    assert condition.device == "box-1"
    assert condition.measure is not None
    assert condition.measure > 0.25
    assert condition.says.startswith("The brightness is not what it was: 14")


def test_parts_of_a_stream_that_drifts_come_up_for_review(every_database: Database) -> None:
    """Through the page: nobody but the cloud's own composition hands the drift on."""
    clock, line = ManualClock(utc=NOON + 5_000), Line(7)
    store = DriftStore(every_database, ReferenceLimits(200))
    start = NOON + 4_000
    rows = [
        inspection(n, bundle="tiny 1", received_at=at)
        for n, at in ((1, NOON), (2, start + 27), (3, start + 30))
    ]
    RecordStore(every_database).save([*rows, inspection(4, received_at=start + 28)])
    app = create_app(Backstage(every_database, healthy, clock=clock, drift=store))
    page = Caller(app, "http://127.0.0.1")
    filled(store, line, 1, 25, start)
    assert page.get("/review/take").json()["items"] == []
    line.light = 0.12
    filled(store, line, 26, 4, start)
    assert page.get("/review/take").json()["items"] == ["box-1/b1/3", "box-1/b1/2"]
    assert drifted_windows(store, clock)()[0].since < start + 27
    # What is steady again is no reason to look.
    line.light = 1.0
    filled(store, line, 30, 90, start)
    assert drifted_windows(store, clock)() == []


def test_a_sketch_that_comes_twice_counts_once(every_database: Database) -> None:
    store, at = DriftStore(every_database, LIMITS), 1000.0
    same = ReceivedSketch(BOX, sketch(1, counts(score=[0.1] * 10)), at)
    assert store.take([same]) == 1
    assert store.take([same, same]) == 0
    (view,) = store.streams(at)
    assert (view.stream.parts, view.stream.reference_parts) == (10, 10)


def test_an_engineer_compares_with_hours_of_their_own_or_with_what_comes_next(
    every_database: Database,
) -> None:
    store, line, was = DriftStore(every_database, ReferenceLimits(200)), Line(8), []
    hour = 3600.0 * 480_000
    filled(store, line, 1, 25, hour)
    line.light = 0.6
    filled(store, line, 26, 30, hour + 7200)
    (view,) = store.streams(hour + 8000)
    assert view.stream.state == "drifted"
    chosen = store.choose(
        KEY, hour + 7200, hour + 10_800, "ada", lambda _connection, before: was.append(before)
    )
    assert chosen is not None
    assert (chosen.full, chosen.reference_parts, chosen.reference_by) == (True, 300, "ada")
    assert was[0].state == "drifted"
    filled(store, line, 56, 10, hour + 10_900)
    (view,) = store.streams(hour + 11_000)
    assert view.stream.state == "steady"
    anew = store.choose(KEY, hour + 11_000, None, "ada", lambda *_: None)
    assert anew is not None
    assert anew.state == "learning"
    unknown = KEY._replace(device="box-9")
    assert store.choose(unknown, hour, None, "ada", lambda *_: None) is None


def test_sketches_of_a_day_ago_go_and_what_they_came_to_stays(database: Database) -> None:
    store, line = DriftStore(database, ReferenceLimits(100)), Line(9)
    filled(store, line, 1, 20, 1e9)
    store.forget(1e9 + 2 * 86400)
    (view,) = store.streams(1e9 + 2 * 86400)
    assert view.stream.parts == 200
    assert store.choose(KEY, 1e9 - 7200, 1e9 + 7200, "ada", lambda *_: None) is not None
    store.forget(1e9 + 100 * 86400)
    assert store.streams(1e9 + 3600) == []


def listening(store: DriftStore, clock: ManualClock) -> tuple[SketchIntake, Transport]:
    """An intake, and what boxes send to it by."""
    broker = MemoryBroker()
    transport, boxes = broker.transport(), broker.transport()
    intake = SketchIntake(store, transport, clock, DeadWorkers())
    intake.listen("group")
    transport.start()
    boxes.start()
    return intake, boxes


def test_what_is_no_sketch_has_no_effect_and_what_is_new_to_this_side_none_either(
    database: Database,
) -> None:
    clock = ManualClock()
    store = DriftStore(database, LIMITS)
    intake, box = listening(store, clock)
    good = sketch(1, counts(score=[0.1] * 10))
    for bad in (
        b"nothing",
        encode(replace_counts(good, {"score": {128: 10}})),
        encode(replace_counts(good, {"score": {-1: 1}})),
        encode(replace_counts(good, {"score": {1: 11}})),
        encode(replace_counts(good, {f"q{n}": {1: 1} for n in range(17)})),
        encode(good, b"body"),
    ):
        box.publish(BOX.topic("sketch"), bad)
    assert intake.store_waiting() == 0
    newer = replace_counts(good, {"score": {3: 10}, "polish": {7: 10}})
    box.publish(BOX.topic("sketch"), encode(newer))
    assert intake.store_waiting() == 1
    (view,) = store.streams(clock.utc())
    assert dict(view.stream.reference) == {"score": {3: 10}}


def test_others_have_twice_the_time_that_sketches_take(database: Database) -> None:
    clock = ManualClock()

    class SlowStore(DriftStore):
        def take(self, came: Sequence[ReceivedSketch]) -> int:
            clock.advance(0.25)
            return super().take(came)

    store = SlowStore(database, LIMITS)
    intake, boxes = listening(store, clock)
    for number in range(AT_ONCE + 5):
        box = Address("plant", "line-1", f"box-{number}")
        boxes.publish(box.topic("sketch"), encode(sketch(1, counts(score=[0.1] * 10))))
    assert intake.step() == pytest.approx(0.5)
    assert len(store.streams(clock.utc())) == AT_ONCE
    intake.step()
    assert len(store.streams(clock.utc())) == AT_ONCE + 5


def replace_counts(one: Sketch, seen: dict[str, dict[int, int]]) -> Sketch:
    return Sketch(
        one.boot, one.number, one.bundle, one.recipe, one.begun, one.ended, one.parts, seen
    )
