"""What a box sums up of its parts, and how it gets to the cloud."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inspection.model import AllWatch, Observes
from edge.link.sketch_outbox import SketchOutbox
from edge.monitoring import sketch_recording as sketches
from edge.monitoring.picture_measurement import PictureMeasurement, measure
from edge.monitoring.sketch_recording import SketchBook
from shared.clock import ManualClock
from shared.contracts import Decision, Finding, Frame
from shared.sketch import SCALES, total
from shared.topics import Address
from shared.transport.memory import MemoryBroker
from shared.wire import MAX_HEADER, Sketch, decode, encode

ADDRESS = Address("plant", "line", "box")
PICTURE = np.full((40, 40), 100, np.uint8)


def frame(part: int = 1, pixels: Any = PICTURE, **fields: str) -> Frame:
    return Frame(pixels, part, 0.0, 1.0, fields=fields)


def finding(score: float = 0.2, novelty: float = 0.0) -> Finding:
    nothing = np.zeros((1, 1, 1), np.int8)
    return Finding(Decision.PASS, score, nothing, nothing[0].astype(np.float32), novelty)


class Belt:
    """A book, and parts that come by at a pace."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.book = SketchBook(self.clock, boot="b1", bundle="tiny 1", **options)
        self._part = 0

    def show(
        self, count: int, *, pause_s: float = 1.0, pixels: Any = PICTURE, **fields: str
    ) -> None:
        for _ in range(count):
            self._part += 1
            self.book.saw(frame(self._part, pixels, **fields), finding(), 0.001)
            self.clock.advance(pause_s)

    def taken(self) -> list[Sketch]:
        found = []
        while (sketch := self.book.waiting()) is not None:
            found.append(sketch)
            self.book.sent(sketch)
        return found


def test_a_sketch_is_of_so_many_parts_and_of_more_where_they_come_fast() -> None:
    slow, fast = Belt(parts=10, seconds=2.0), Belt(parts=10, seconds=2.0)
    slow.show(25, pause_s=1.0)
    fast.show(45, pause_s=0.1)
    assert [one.parts for one in slow.taken()] == [10, 10]
    assert [one.parts for one in fast.taken()] == [21, 21]


def test_a_line_that_stops_still_tells_of_its_last_parts() -> None:
    belt = Belt(parts=10)
    belt.show(3)
    assert belt.taken() == []
    belt.clock.advance(60)
    (sketch,) = belt.taken()
    assert sketch.parts == 3


def test_parts_of_another_recipe_or_bundle_are_in_another_sketch() -> None:
    belt = Belt(parts=10, recipe="thin")
    belt.show(4)
    belt.show(4, recipe="thick")
    belt.book.changed("tiny 2")
    belt.show(11, recipe="thick")
    found = [(one.bundle, one.recipe, one.parts) for one in belt.taken()]
    assert found == [("tiny 1", "thin", 4), ("tiny 1", "thick", 4), ("tiny 2", "thick", 10)]


def test_the_first_sketch_of_a_box_that_knows_no_recipe_names_its_bundle() -> None:
    belt = Belt(parts=10)
    belt.show(10)
    assert [(one.bundle, one.recipe) for one in belt.taken()] == [("tiny 1", "")]


def test_a_lamp_that_fades_moves_the_brightness_alone_into_other_bins() -> None:
    belt = Belt(parts=10)
    rng = np.random.default_rng(1)
    bright = rng.normal(120, 4, (64, 64)).astype(np.uint8)
    belt.show(10, pixels=bright)
    belt.show(10, pixels=(bright * 0.12).astype(np.uint8))
    before, after = belt.taken()
    assert max(after.counts["brightness"]) < min(before.counts["brightness"])
    assert before.counts["score"] == after.counts["score"]


def test_brightness_noise_and_sharpness_are_those_of_the_picture() -> None:
    rng = np.random.default_rng(2)
    plain = np.full((300, 300, 3), 90.0)
    seen = measure(np.clip(plain + rng.normal(0, 6, plain.shape), 0, 255).astype(np.uint8))
    assert seen.brightness == pytest.approx(90, abs=1)
    assert seen.noise == pytest.approx(6, rel=0.1)
    stripes = np.kron(rng.integers(60, 200, (30, 30)), np.ones((10, 10))).astype(np.uint8)
    blurred = cv2.GaussianBlur(stripes, (0, 0), 3)
    assert measure(stripes).sharpness > 4 * measure(blurred).sharpness


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3, 3), (700, 900), (1081, 33, 3)])
def test_a_picture_of_any_shape_is_measured(shape: tuple[int, ...]) -> None:
    seen = measure(np.full(shape, 128, np.uint8))
    assert (seen.brightness, seen.sharpness, seen.noise) == (128, 0, 0)


def test_pictures_take_no_more_than_their_share_of_the_time() -> None:
    clock, spent = ManualClock(), []

    def slowly(_pixels: Any) -> PictureMeasurement:
        clock.advance(0.002)
        spent.append(0.002)
        return PictureMeasurement(100, 10, 1)

    book = SketchBook(
        clock, boot="b1", bundle="tiny", measured=slowly, worked=lambda: math.fsum(spent)
    )
    begun = clock.monotonic()
    for part in range(2000):
        book.saw(frame(part), finding(), 0.0)
        clock.advance(0.0015)
    elapsed = clock.monotonic() - begun
    assert sum(spent) <= 0.01 * elapsed + sketches.SAVED_S
    assert len(spent) > 5


def test_on_a_busy_box_a_measurement_that_waited_for_the_processor_costs_what_it_took() -> None:
    clock = ManualClock()

    def put_off(pixels: Any) -> PictureMeasurement:
        clock.advance(0.05)
        return measure(pixels)

    book = SketchBook(clock, boot="b1", bundle="tiny", parts=60, seconds=0.0, measured=put_off)
    for part in range(60):
        book.saw(frame(part), finding(), 0.0)
        clock.advance(0.5)
    sketch = book.waiting()
    assert sketch is not None
    assert total(sketch.counts["brightness"]) == 60


def test_while_the_link_is_down_nothing_grows_and_every_part_still_counts() -> None:
    belt = Belt(parts=1, seconds=0.0)
    belt.show(3000)
    found = belt.taken()
    assert len(found) <= sketches.MOST_WAITING
    assert sum(one.parts for one in found) == 3000
    assert all(total(one.counts["score"]) == one.parts for one in found)
    assert found[-1].parts == 1
    assert [one.begun for one in found] == sorted(one.begun for one in found)
    assert all(len(encode(one)) < MAX_HEADER for one in found)


def test_a_thousand_recipes_while_the_link_is_down_drop_the_oldest() -> None:
    belt = Belt()
    for number in range(1000):
        belt.show(1, recipe=f"r{number}")
    assert len(belt.taken()) <= sketches.MOST_WAITING


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_every_score_is_in_the_bin_that_it_belongs_to(scores: list[float]) -> None:
    clock = ManualClock()
    book = SketchBook(clock, boot="b1", bundle="tiny", parts=len(scores), seconds=0.0)
    for score in scores:
        book.saw(frame(), finding(score), 0.0)
    sketch = book.waiting()
    assert sketch is not None
    wanted: dict[int, int] = {}
    for score in scores:
        at = SCALES["score"].bin(score)
        assert at is not None
        wanted[at] = wanted.get(at, 0) + 1
    assert sketch.counts["score"] == wanted


def test_sketches_wait_for_the_link_and_are_sent_once() -> None:
    broker, belt = MemoryBroker(), Belt(parts=2, seconds=0.1)
    transport = broker.transport()
    outbox = SketchOutbox(belt.book, transport, ADDRESS)
    belt.show(4)
    outbox.tick()
    assert broker.published == []
    transport.start()
    outbox.tick()
    outbox.tick()
    sent = [decode(one.payload, Sketch)[0] for one in broker.published]
    assert [one.number for one in sent] == [1, 2]
    assert {one.topic for one in broker.published} == {"splitsight/v1/plant/line/box/sketch"}


def test_an_hour_of_ten_parts_a_second_is_some_hundred_kilobytes() -> None:
    belt, rng = Belt(), np.random.default_rng(3)
    for part in range(36_000 // 20):
        pixels = rng.normal(rng.normal(110, 5), 4, (16, 16)).clip(0, 255).astype(np.uint8)
        score, novelty = float(rng.beta(1, 9)), float(rng.gamma(3, 0.1))
        belt.book.saw(frame(part, pixels), finding(score, novelty), 0.001)
        belt.clock.advance(0.1)
    size = sum(len(encode(one)) for one in belt.taken())
    assert 20 * size < 600_000


class Broken:
    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        del frame, finding, seconds
        raise RuntimeError("no")

    def failed(self) -> None:
        raise RuntimeError("no")


def test_what_one_watcher_raises_keeps_nothing_from_the_others() -> None:
    belt, broken = Belt(parts=1, seconds=0.0), Broken()
    watching: Observes = AllWatch(broken, belt.book)
    with pytest.raises(RuntimeError):
        watching.saw(frame(), finding(), 0.0)
    with pytest.raises(RuntimeError):
        watching.failed()
    assert len(belt.taken()) == 1
