"""Pictures on demand, at the box: what leaves it, what does not, and how fast."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.inspection.model import LiveModel
from edge.journal.picture_ring import digest_of
from edge.monitoring.health import BoxHealth
from edge.pictures.answers import PictureAnswers
from edge.pictures.maps import FixedLook, LooksAgain, SecondHead
from edge.pictures.pace import BURST, LEAST_BYTES, MOST_BYTES, SLOW_S, PicturePace
from edge.pictures.reader import FixedPictures, JournalPictures
from edge.pictures.service import MOST_WAITING, PictureService
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.contracts import Frame, PictureKind, PicturePolicy
from shared.errors import WireError
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import (
    Labels,
    PartLabel,
    PictureMessage,
    PicturePiece,
    PictureRefusal,
    PictureRequest,
    decode,
    encode,
)
from tests.bundles import picture
from tests.edge.rigs import Rig, commit, open_journal, real_inspector
from tests.edge.test_journal import decided

ADDRESS = Address("plant", "line", "box")
WORKER = "cloud-1"


def noisy(side: int = 120, *, seed: int = 1) -> bytes:
    """A PNG of about side² bytes."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def spotted(row: int, column: int) -> np.ndarray:
    """A map that is sure of one place."""
    found = np.zeros((8, 8), np.float32)
    found[row, column] = 0.9
    return found


KEPT = noisy()


class BoxRig:
    """A box that has kept one picture, (b1, 1), and a cloud that asks by hand."""

    def __init__(
        self,
        policy: PicturePolicy = "full",
        *,
        kept: bytes = KEPT,
        again: LooksAgain | None = None,
        most: int = 1 << 20,
    ) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(most)
        self.device, self.cloud = self.broker.transport(), self.broker.transport()
        self.answers: list[tuple[PictureMessage, bytes]] = []
        self.pace = PicturePace(self.clock)
        self.health = BoxHealth(self.clock)
        self.service = PictureService(
            PictureAnswers(
                FixedPictures({("b1", 1): kept}), again or FixedLook(spotted(0, 7)), policy
            ),
            self.device,
            ADDRESS,
            clock=self.clock,
            health=self.health,
            pace=self.pace,
        )
        self.service.listen()
        self.cloud.subscribe(ADDRESS.pictured(WORKER), self._answered)
        self.device.start()
        self.cloud.start()

    def ask(
        self,
        what: PictureKind = "full",
        *,
        request: str = "r1",
        sequence: int = 1,
        place: int = 0,
        most: int = 1 << 18,
        boot: str = "b1",
    ) -> tuple[PictureMessage, bytes] | None:
        """The answer to one request, None where there is none."""
        self.answers.clear()
        asked = PictureRequest(request, boot, sequence, what, WORKER, place, most)
        self.cloud.publish(ADDRESS.topic("picture"), encode(asked))
        while self.service.step():
            pass
        return self.answers[-1] if self.answers else None

    def fetch(self, what: PictureKind = "full", request: str = "r1") -> tuple[bytes, PicturePiece]:
        """All of it, piece by piece."""
        content = b""
        while True:
            found = self.ask(what, request=request, place=len(content))
            assert found is not None
            piece, body = found
            assert isinstance(piece, PicturePiece)
            assert piece.place == len(content)
            content += body
            if len(content) >= piece.size:
                assert hashlib.sha256(content).hexdigest() == piece.sha256
                return content, piece

    def refused(self, what: PictureKind = "full", **asked: Any) -> PictureRefusal:
        found = self.ask(what, **asked)
        assert found is not None
        assert isinstance(found[0], PictureRefusal)
        return found[0]

    def _answered(self, delivery: Delivery) -> None:
        self.answers.append(decode(delivery.payload, PictureMessage))


def test_a_picture_comes_in_pieces_as_it_was_kept_and_says_which_it_is() -> None:
    rig = BoxRig()
    content, piece = rig.fetch()
    assert content == KEPT
    assert (piece.boot, piece.sequence, piece.what) == ("b1", 1, "full")
    assert piece.kept == digest_of(KEPT)
    assert rig.health.counts["pictures_given"] == 1


def test_no_piece_is_larger_than_is_wanted_or_than_the_broker_takes() -> None:
    rig = BoxRig(most=4096)
    found = rig.ask(most=100)
    assert found is not None
    assert len(found[1]) == 100
    for delivery in rig.broker.published:
        assert len(delivery.payload) <= 4096
    assert rig.fetch(request="r2")[0] == KEPT


def test_a_picture_that_no_browser_shows_comes_as_jpeg_and_names_what_was_kept() -> None:
    bitmap = cv2.imencode(".bmp", picture(90))[1].tobytes()
    content, piece = BoxRig(kept=bitmap).fetch()
    assert content.startswith(b"\xff\xd8")
    assert piece.kept == digest_of(bitmap)
    assert piece.frame == (64, 64)


@pytest.mark.parametrize(
    ("place", "corner"), [((0, 7), (160, 0)), ((7, 0), (0, 160)), ((4, 4), (95, 95))]
)
def test_a_region_is_the_neighbourhood_of_the_most_suspicious_place(
    place: tuple[int, int], corner: tuple[int, int]
) -> None:
    kept = noisy(240)
    content, piece = BoxRig("region", kept=kept, again=FixedLook(spotted(*place))).fetch("region")
    left, top, width, height = piece.window
    assert piece.frame == (240, 240)
    assert (width, height) == (80, 80)
    assert (left, top) == corner
    whole = cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_GRAYSCALE)
    shown = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert whole is not None
    assert shown is not None
    apart = shown.astype(int) - whole[top : top + height, left : left + width]
    # A JPEG of noise is near it.
    assert np.abs(apart).mean() < 20
    middle = ((place[1] + 0.5) * 30, (place[0] + 0.5) * 30)
    assert left <= middle[0] <= left + width
    assert top <= middle[1] <= top + height


ALLOWED: dict[PicturePolicy, set[PictureKind]] = {
    "never": set(),
    "region": {"region", "map"},
    "full": {"full", "region", "map"},
}


@pytest.mark.parametrize("policy", ["never", "region", "full"])
@pytest.mark.parametrize("what", ["full", "region", "map"])
def test_nothing_leaves_a_box_that_its_own_policy_keeps(
    policy: PicturePolicy, what: PictureKind
) -> None:
    rig = BoxRig(policy)
    if what in ALLOWED[policy]:
        assert rig.fetch(what)[1].what == what
        return
    refusal = rig.refused(what)
    assert (refusal.why, refusal.policy) == ("policy", policy)
    assert all(KEPT[:64] not in delivery.payload for delivery in rig.broker.published)


def test_a_picture_that_has_left_the_ring_is_said_to_be_gone() -> None:
    assert BoxRig().refused(sequence=2).why == "gone"


def test_what_is_no_picture_is_told_and_its_map_too() -> None:
    rig = BoxRig(kept=b"\x89PNG and nothing else")
    assert rig.refused("map").why == "unreadable"
    assert rig.refused("region").why == "unreadable"


def test_a_box_that_is_held_sends_no_picture_until_it_is_let_go() -> None:
    rig = BoxRig()
    rig.service.hold("its copy speaks too")
    assert rig.refused().why == "held"
    rig.service.hold("")
    assert rig.fetch()[0] == KEPT


def test_more_than_a_few_pictures_a_second_are_refused_and_pieces_of_one_count_once() -> None:
    rig = BoxRig()
    for number in range(int(BURST)):
        assert rig.fetch(request=f"r{number}")[0] == KEPT
    assert rig.refused().why == "busy"
    rig.clock.advance(1.0)
    assert rig.fetch(request="later")[0] == KEPT


def test_a_request_names_one_picture_and_the_next_piece_of_another_is_made_anew() -> None:
    rig = BoxRig(again=(looks := FixedLook(spotted(1, 1))))
    first = rig.ask("map", request="r1")
    second = rig.ask("map", request="r1")
    assert looks.looks == 1
    assert first == second
    whole = rig.ask("full", request="r1")
    assert whole is not None
    assert isinstance(whole[0], PicturePiece)
    assert whole[0].what == "full"


def test_what_was_made_is_let_go_when_nobody_asks_on() -> None:
    rig = BoxRig(again=(looks := FixedLook(spotted(1, 1))))
    rig.ask("map", request="r1")
    rig.clock.advance(11.0)
    rig.ask("map", request="r1")
    assert looks.looks == 2


def test_a_flood_of_requests_waits_for_nobody_and_is_left() -> None:
    rig = BoxRig()
    asked = PictureRequest("r", "b1", 1, "full", WORKER)
    for _ in range(MOST_WAITING + 20):
        rig.cloud.publish(ADDRESS.topic("picture"), encode(asked))
    answered = 0
    while rig.service.step():
        answered += 1
    assert answered == MOST_WAITING


def test_a_request_that_a_broker_has_kept_is_nobodys() -> None:
    rig = BoxRig()
    asked = PictureRequest("r", "b1", 1, "full", WORKER)
    rig.cloud.publish(ADDRESS.topic("picture"), encode(asked), retain=True)
    assert rig.service.step()
    rig.device.lose()
    rig.device.restore()
    assert not rig.service.step()


@pytest.mark.parametrize(
    "payload",
    [
        b"nonsense",
        encode(PictureRequest("r", "b1", 1, "full", WORKER), b"body"),
        encode(PictureRequest("r", "b1", 1, "full", WORKER, most=0)),
    ],
)
def test_what_is_no_request_is_counted_and_has_no_effect(payload: bytes) -> None:
    rig = BoxRig()
    rig.cloud.publish(ADDRESS.topic("picture"), payload)
    assert not rig.service.step()
    assert rig.health.counts["payloads_refused"] == 1


def test_an_answer_to_a_worker_that_no_topic_can_carry_goes_nowhere() -> None:
    rig = BoxRig()
    asked = PictureRequest("r", "b1", 1, "full", "#")
    before = len(rig.broker.published)
    rig.cloud.publish(ADDRESS.topic("picture"), encode(asked))
    assert rig.service.step()
    assert len(rig.broker.published) == before + 1
    with pytest.raises(WireError):
        ADDRESS.pictured("#")


# The pace.


def exchange(pace: PicturePace, clock: ManualClock, way_s: float, bytes_per_s: float) -> float:
    """One piece over a link; the seconds for which it was taken."""
    clock.advance(pace.wait_s)
    size = pace.piece
    pace.sent(size)
    clock.advance(way_s + size / bytes_per_s)
    pace.asked_on()
    return size / bytes_per_s


@pytest.mark.parametrize("way_s", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("bytes_per_s", [125_000, 1_000_000])
def test_on_a_slow_link_a_piece_is_soon_over_and_the_link_rests(
    way_s: float, bytes_per_s: float
) -> None:
    clock = ManualClock()
    pace = PicturePace(clock)
    began = clock.monotonic()
    busy = [exchange(pace, clock, way_s, bytes_per_s) for _ in range(50)]
    # An escalation waits behind one piece: twice the limit where the next size was tried.
    assert max(busy) <= 2 * SLOW_S + 2 * LEAST_BYTES / bytes_per_s
    assert sum(busy[5:]) < 0.75 * (clock.monotonic() - began)


def test_on_a_fast_link_pieces_grow_and_nothing_rests() -> None:
    clock = ManualClock()
    pace = PicturePace(clock)
    for _ in range(10):
        exchange(pace, clock, 0.003, 1e9)
    assert pace.piece == MOST_BYTES
    assert pace.wait_s < 0.001


# Journal and head, as they are.


@pytest.fixture
def journal_rig(tmp_path: Path) -> Iterator[Callable[[int], bytes | None]]:
    journal = open_journal(tmp_path, ring_bytes=40_000, label_bytes=1 << 20)
    for sequence in range(1, 5):
        journal.record(decided(journal, sequence), noisy(seed=sequence), None)
        commit(journal)
    label = PartLabel(journal.boot, 3, "reject", "", 1.0)
    journal.label(Labels([label]).rows, "hall", lambda _rows: None)
    commit(journal)
    kept = JournalPictures(tmp_path / "journal.db")
    yield lambda sequence: kept.picture(journal.boot, sequence)
    journal.close()


def test_ring_and_labelled_pictures_are_found_while_the_agent_has_the_journal(
    journal_rig: Callable[[int], bytes | None],
) -> None:
    assert journal_rig(4) == noisy(seed=4)
    assert journal_rig(3) == noisy(seed=3)
    assert journal_rig(1) is None
    assert journal_rig(9) is None


def test_an_inspection_says_which_picture_was_kept_of_it(rig: Rig) -> None:
    rig.show(220)
    rig.show(40)
    rig.commit()
    kept, passed = rig.rows
    assert kept["digest"] == digest_of(b"picture")
    assert passed["digest"] == "none"
    assert isinstance(kept["head_ms"], float)


def test_an_escalation_says_when_it_went_and_when_its_answer_came(rig: Rig) -> None:
    rig.show(120)
    rig.clock.advance(0.030)
    rig.commit()
    rig.answer(1, "pass")
    rig.commit()
    rig.commit()
    (row,) = rig.rows
    assert row["sent_ms"] == pytest.approx(0.0, abs=1.0)
    assert row["answered_ms"] == pytest.approx(30.0)
    with sqlite3.connect(rig.folder / "journal.db") as journal:
        assert journal.execute("SELECT decided_by FROM inspections").fetchone() == ("cloud",)


def test_the_second_head_makes_the_map_that_the_first_one_made(bundle: Bundle) -> None:
    inspector = real_inspector(bundle)
    live = LiveModel.of(bundle, inspector, "onnx CPU")
    clock = ManualClock()
    second = SecondHead(lambda: live, clock)
    shown = picture(134)
    encoded = cv2.imencode(".png", shown)[1].tobytes()
    seen = second.look(encoded)
    first = inspector.look(Frame(shown, 1, 0.0, 1.0)).defect_map
    assert np.allclose(seen.defect_map, first, atol=1e-5)
    assert seen.bundle == bundle.id
    clock.advance(61.0)
    second.rest()
    assert second._head is None
    assert np.allclose(second.look(encoded).defect_map, first, atol=1e-5)
