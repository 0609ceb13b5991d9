"""Pictures from boxes that answer well, badly, twice, late or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from cloud.pictures.base import (
    BadAnswer,
    BoxBusy,
    BoxSilent,
    PictureGone,
    PictureKept,
    ShownPicture,
)
from cloud.pictures.fetch import BoxPictures, FetchLimits, refusal_of
from edge.monitoring.health import BoxHealth
from edge.pictures.answers import PictureAnswers
from edge.pictures.maps import FixedLook
from edge.pictures.reader import FixedPictures
from edge.pictures.service import PictureService
from shared.clock import SystemClock
from shared.contracts import InspectionKey, PictureKind
from shared.errors import PictureError
from shared.topics import Address
from shared.transport.memory import MemoryBroker
from shared.wire import MAX_PICTURE, PictureRefusal, PictureRequest, encode
from tests.cloud.pictures.box import DEVICE, Answer, Answers, ScriptedBox, digest, piece, png

KEY = InspectionKey("box-1", "b1", 7)
CONTENT = png()
SHORT = FetchLimits(piece_s=0.05, tries=2, whole_s=5.0)


def worker(broker: MemoryBroker, name: str = "cloud-1", limits: FetchLimits = SHORT) -> BoxPictures:
    transport = broker.transport()
    asks = BoxPictures(transport, name, limits)
    asks.listen()
    transport.start()
    return asks


def fetched(
    answers: Answers, what: PictureKind = "full", digest: str = "", limits: FetchLimits = SHORT
) -> ShownPicture:
    broker = MemoryBroker()
    ScriptedBox(broker, answers)
    return asyncio.run(worker(broker, limits=limits).fetch(DEVICE, KEY, what, digest))


def honest(asked: PictureRequest) -> list[Answer]:
    return [piece(asked, CONTENT)]


def test_a_picture_comes_whole_in_the_pieces_that_were_asked_for() -> None:
    broker = MemoryBroker()
    box = ScriptedBox(broker, honest)
    found = asyncio.run(worker(broker).fetch(DEVICE, KEY, "full", digest(CONTENT)))
    assert found.content == CONTENT
    assert (found.key, found.what, found.media) == (KEY, "full", "image/png")
    assert [one.place for one in box.asked] == list(range(0, len(CONTENT), 1000))
    assert len({one.request for one in box.asked}) == 1


def wrong(**other: Any) -> Answers:
    return lambda asked: [piece(asked, CONTENT, **other)]


def cut(asked: PictureRequest) -> list[Answer]:
    """A picture that is cut off, whose digest is that of what is there."""
    return [piece(asked, CONTENT[:2000])]


def torn(asked: PictureRequest) -> list[Answer]:
    """Another digest with the second piece."""
    other: dict[str, Any] = {} if not asked.place else {"kept": digest(CONTENT)}
    return [piece(asked, png(seed=2) if asked.place else CONTENT, **other)]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (wrong(sequence=8), "with full of b1/8"),
        (wrong(boot="b2"), "with full of b2/7"),
        (wrong(what="map"), "with map of b1/7"),
        (wrong(size=MAX_PICTURE + 1), "at most"),
        (wrong(size=0), "with 0 B"),
        (wrong(body=b""), "with 0 B at 0"),
        (wrong(body=CONTENT + b"more"), "of"),
        (wrong(sha256="0" * 64), "not the ones it named"),
        (wrong(kept="f" * 16), "inspected on"),
        (cut, "inspected on"),
        (torn, "two pictures"),
        (lambda asked: [piece(asked, b"<html>not a picture</html>")], "inspected on"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_refused_by_name(
    answers: Answers, said: str
) -> None:
    with capture_logs() as logged, pytest.raises(BadAnswer, match="box-1 was asked") as refused:
        fetched(answers, digest=digest(CONTENT))
    assert said in refused.value.message
    told = [entry for entry in logged if entry["event"] == "picture_refused"]
    assert [(entry["device"], entry["asked"]) for entry in told] == [("box-1", list(KEY))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CONTENT[:2000], "cut off"),
        (b"<html>not a picture</html>", "no picture"),
        (b"GIF89a", "no picture"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00IEND",
            "nobody opens",
        ),
    ],
)
def test_what_is_no_whole_picture_is_refused_whatever_its_digest(content: bytes, said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        fetched(lambda asked: [piece(asked, content)])


def test_a_box_can_not_say_that_it_has_kept_another_picture() -> None:
    with pytest.raises(BadAnswer, match="another picture"):
        fetched(wrong(kept="f" * 16))


@pytest.mark.parametrize("window", [(), (0, 0, 10), (0, 0, 0, 5), (55, 0, 10, 10), (0, 0, 61, 1)])
def test_a_region_lies_within_its_picture(window: tuple[int, ...]) -> None:
    with pytest.raises(BadAnswer, match="with a region"):
        fetched(wrong(window=window, frame=(60, 60)), "region")


def test_pieces_that_come_twice_or_too_soon_change_nothing() -> None:
    def doubled(asked: PictureRequest) -> list[Answer]:
        later = piece(asked, CONTENT, place=asked.place + 500)
        earlier = piece(asked, CONTENT, place=0) if asked.place else later
        return [later, earlier, piece(asked, CONTENT), piece(asked, CONTENT)]

    assert fetched(doubled).content == CONTENT


def test_a_piece_that_is_lost_is_asked_for_again() -> None:
    lost: set[int] = set()

    def lossy(asked: PictureRequest) -> list[Answer]:
        if asked.place in lost:
            return honest(asked)
        lost.add(asked.place)
        return []

    assert fetched(lossy).content == CONTENT
    assert len(lost) > 1


def test_a_box_that_does_not_answer_is_asked_a_few_times_and_then_silent() -> None:
    broker = MemoryBroker()
    box = ScriptedBox(broker, lambda _asked: [])
    with pytest.raises(BoxSilent, match="2 times"):
        asyncio.run(worker(broker).fetch(DEVICE, KEY, "full"))
    assert len(box.asked) == 2


def test_a_cloud_without_its_broker_says_so() -> None:
    asks = BoxPictures(MemoryBroker().transport(), "cloud-1", SHORT)
    with pytest.raises(BoxSilent, match="not connected"):
        asyncio.run(asks.fetch(DEVICE, KEY, "full"))


def test_an_answer_of_another_box_is_nobodys() -> None:
    broker = MemoryBroker()
    box = ScriptedBox(broker, lambda _asked: [])
    other = Address("plant", "line-1", "box-2")
    thief = broker.transport()
    thief.start()

    def stolen(asked: PictureRequest) -> list[Answer]:
        message, body = piece(asked, CONTENT)
        thief.publish(other.pictured(asked.worker), encode(message, body))
        return []

    box._answers = stolen
    with capture_logs() as logged, pytest.raises(BoxSilent):
        asyncio.run(worker(broker).fetch(DEVICE, KEY, "full"))
    assert any("box-2 answers what box-1 was asked" in str(entry) for entry in logged)


def refusing(why: str, *more: Answer) -> Callable[[PictureRequest], Sequence[Answer]]:
    def answers(asked: PictureRequest) -> list[Answer]:
        told = PictureRefusal(
            asked.request, asked.boot, asked.sequence, asked.what, why, "region", "because"
        )
        return [(told, b"")]

    return answers


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("policy", PictureKept),
        ("gone", PictureGone),
        ("held", PictureGone),
        ("unreadable", PictureGone),
        ("a word of a later version", PictureGone),
    ],
)
def test_a_box_may_refuse_and_its_reason_is_told(why: str, kind: type[PictureError]) -> None:
    with pytest.raises(kind, match="because"):
        fetched(refusing(why))


def test_a_busy_box_is_asked_again_and_is_busy_when_it_stays_so() -> None:
    times: list[PictureRequest] = []

    def busy_once(asked: PictureRequest) -> Sequence[Answer]:
        times.append(asked)
        return refusing("busy")(asked) if len(times) == 1 else honest(asked)

    limits = FetchLimits(piece_s=5.0)
    assert fetched(busy_once, limits=limits).content == CONTENT
    refusal = PictureRefusal("r", "b1", 7, "full", "busy")
    assert isinstance(refusal_of(DEVICE, refusal), BoxBusy)


def test_a_refusal_of_another_part_is_a_bad_answer() -> None:
    def other(asked: PictureRequest) -> list[Answer]:
        return [(PictureRefusal(asked.request, "b1", 99, "full", "gone"), b"")]

    with pytest.raises(BadAnswer, match="b1/99"):
        fetched(other)


def test_two_workers_ask_for_the_same_and_each_hears_its_own_answer() -> None:
    broker = MemoryBroker()
    box = ScriptedBox(broker, honest)
    workers = [worker(broker, f"cloud-{number}") for number in (1, 2)]

    async def both() -> list[ShownPicture]:
        return list(await asyncio.gather(*(one.fetch(DEVICE, KEY, "full") for one in workers)))

    found = asyncio.run(both())
    assert [one.content for one in found] == [CONTENT, CONTENT]
    asked_by = {one.worker for one in box.asked}
    assert asked_by == {"cloud-1", "cloud-2"}
    for name in asked_by:
        topics = [d.topic for d in broker.published if d.topic == DEVICE.pictured(name)]
        assert len(topics) == len([one for one in box.asked if one.worker == name])


def test_no_more_than_a_few_pictures_of_a_box_are_fetched_at_once() -> None:
    broker = MemoryBroker()
    open_now: set[str] = set()
    most = 0

    def watched(asked: PictureRequest) -> list[Answer]:
        nonlocal most
        open_now.add(asked.request)
        most = max(most, len(open_now))
        if asked.place + 1000 >= len(CONTENT):
            open_now.discard(asked.request)
        return honest(asked)

    ScriptedBox(broker, watched)
    asks = worker(broker, limits=FetchLimits(of_box=2))

    async def many() -> list[ShownPicture]:
        return list(await asyncio.gather(*(asks.fetch(DEVICE, KEY, "full") for _ in range(6))))

    assert [one.content for one in asyncio.run(many())] == [CONTENT] * 6
    assert most == 2
    assert not asks._fetching
    assert not asks._waiting


def test_nothing_of_a_picture_is_kept_once_it_was_handed_on() -> None:
    broker = MemoryBroker()
    ScriptedBox(broker, wrong(sha256="0" * 64))
    asks = worker(broker)
    with pytest.raises(BadAnswer):
        asyncio.run(asks.fetch(DEVICE, KEY, "full"))
    assert not asks._waiting


@pytest.mark.parametrize("what", ["full", "region", "map"])
def test_a_real_box_and_a_real_worker_understand_each_other(what: PictureKind) -> None:
    broker = MemoryBroker()
    kept = png(200)
    found_map = np.zeros((8, 8), np.float32)
    found_map[2, 5] = 0.8
    device = broker.transport()
    answers = PictureAnswers(
        FixedPictures({("b1", 7): kept}), FixedLook(found_map, "tiny 1.0.0"), "full"
    )
    service = PictureService(
        answers, device, DEVICE, clock=SystemClock(), health=BoxHealth(SystemClock())
    )
    service.listen()
    device.start()
    service.start()
    try:
        asks = worker(broker, limits=FetchLimits())
        found = asyncio.run(asks.fetch(DEVICE, KEY, what, digest(kept)))
    finally:
        service.stop()
    assert found.what == what
    assert hashlib.sha256(found.content).hexdigest() == found.sha256
    if what == "full":
        assert found.content == kept
    else:
        assert found.frame == (200, 200)
        assert found.bundle == "tiny 1.0.0"
