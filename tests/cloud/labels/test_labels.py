"""What inspectors say, on its way to the devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cloud.accounts.audit import AuditLog
from cloud.dashboard.wording import story
from cloud.labels.delivery import AGAIN_S, LabelDelivery, WaitingLabel
from cloud.labels.history import LabelHistory, Said
from cloud.labels.store import StoredLabels
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.records.tables import LabelRecord
from shared.clock import ManualClock
from shared.contracts import DeviceState, InspectionKey, Verdict
from shared.errors import RecordsError
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.web.access import Caller
from shared.wire import (
    MAX_MASK,
    LabelReceipt,
    LabelReceipts,
    Labels,
    PartLabel,
    StateMessage,
    Withdrawal,
    decode,
    encode,
)
from shared.worker import DeadWorkers
from tests.cloud.makers import DEVICE, NOON, inspection, label, tail


class PostRig:
    """Five inspections, a device, and a post that moves only when the test says so."""

    def __init__(self, url: str) -> None:
        self.clock = ManualClock(utc=NOON + 100)
        self.database = Database(url)
        self.database.migrate()
        self.store, self.records = RecordStore(self.database), Records(self.database)
        self.store.save([inspection(n) for n in range(1, 6)], [tail(9)])
        self.broker = MemoryBroker()
        self.cloud, self.device = self.broker.transport(), self.broker.transport()
        labels = StoredLabels(self.database)
        self.post = LabelDelivery(labels, self.cloud, self.clock, DeadWorkers())
        self.post.listen()
        self.cloud.start()
        self.device.start()
        self.got: list[PartLabel] = []
        self.withdrawn: list[Withdrawal] = []
        self.device.subscribe(DEVICE.topic("label"), self._arrived)

    def say(self, sequence: int, verdict: Verdict = "reject", at: float = NOON + 60) -> None:
        self.store.label(label(sequence, verdict=verdict, reviewed_at=at))

    def is_now(self, state: DeviceState, boot: str = "b1", address: Address = DEVICE) -> None:
        payload = encode(StateMessage(state, boot, 1.0))
        self.device.publish(address.topic("state"), payload, retain=True)

    def answer(self, row: PartLabel, *, kept: bool = True) -> None:
        said = LabelReceipt(row.boot, row.sequence, row.labelled_at, kept)
        self.device.publish(DEVICE.topic("labelled"), encode(LabelReceipts([said])))

    def seen(self, sequence: int) -> tuple[float | None, bool | None]:
        view = self.records.inspection(InspectionKey("box-1", "b1", sequence))
        assert view is not None
        assert view.label is not None
        return view.label.delivered_at, view.label.has_picture

    def _arrived(self, delivery: Delivery) -> None:
        message = decode(delivery.payload, Labels)[0]
        self.got += message.rows
        self.withdrawn += message.withdrawn


@pytest.fixture
def rig(empty_url: str) -> Iterator[PostRig]:
    rig = PostRig(empty_url)
    yield rig
    rig.database.close()


def test_a_label_goes_to_its_device_and_is_done_when_it_says_so(rig: PostRig) -> None:
    rig.is_now("online")
    rig.say(2)
    rig.post.tick()
    assert [(row.boot, row.sequence, row.verdict) for row in rig.got] == [("b1", 2, "reject")]
    assert rig.seen(2) == (None, None)
    rig.answer(rig.got[0])
    rig.post.tick()
    assert rig.seen(2) == (NOON + 100, True)
    rig.clock.advance(2 * AGAIN_S)
    rig.post.tick()
    assert len(rig.got) == 1


def test_a_label_that_is_taken_back_after_the_device_has_it_is_taken_back_there(
    rig: PostRig,
) -> None:
    history = LabelHistory(rig.database, rig.clock, AuditLog(rig.database, rig.clock))
    ada, key = Caller("ada", "inspector"), InspectionKey("box-1", "b1", 2)
    rig.is_now("online")
    (said,) = history.say([Said(key, "plant", "line-1", "reject", None, "ada")], ada)
    rig.post.tick()
    rig.answer(rig.got[0])
    rig.post.tick()
    history.take_back([said.number], ada, "ada", anybodys=False)
    rig.post.tick()
    (gone,) = rig.withdrawn
    assert (gone.boot, gone.sequence) == ("b1", 2)
    assert gone.at > rig.got[0].labelled_at
    rig.answer(PartLabel("b1", 2, "reject", "", gone.at), kept=False)
    rig.post.tick()
    rig.clock.advance(2 * AGAIN_S)
    rig.post.tick()
    assert len(rig.withdrawn) == 1
    # A worker that had read the label before sends it once more: so is that it was taken back.
    rig.answer(rig.got[0])
    rig.post.tick()
    assert len(rig.withdrawn) == 2
    history.say([Said(key, "plant", "line-1", "pass", None, "ada")], ada)
    rig.clock.advance(2 * AGAIN_S)
    rig.post.tick()
    assert len(rig.withdrawn) == 2
    assert rig.got[-1].verdict == "pass"
    assert rig.got[-1].labelled_at > gone.at


def test_what_was_drawn_travels_with_its_label_as_much_as_fits_in_a_message(rig: PostRig) -> None:
    rig.is_now("online")
    mask = b"\x89" * MAX_MASK
    for sequence in range(1, 6):
        rig.store.label(label(sequence, verdict="reject", drawing=mask))
    rig.post.tick()
    assert [row.mask for row in rig.got] == [mask] * 5


def test_a_part_whose_picture_is_gone_says_so_in_the_cloud(rig: PostRig) -> None:
    rig.is_now("online")
    rig.say(2)
    rig.post.tick()
    rig.answer(rig.got[0], kept=False)
    rig.post.tick()
    assert rig.seen(2) == (NOON + 100, False)


def test_a_label_is_sent_again_until_it_is_answered_but_not_at_once(rig: PostRig) -> None:
    rig.is_now("online")
    rig.say(2)
    rig.post.tick()
    rig.post.tick()
    assert len(rig.got) == 1
    rig.clock.advance(AGAIN_S)
    rig.post.tick()
    assert len(rig.got) == 2


def test_labels_wait_for_a_device_that_is_away_and_follow_when_it_comes(rig: PostRig) -> None:
    rig.say(2)
    rig.say(3)
    rig.post.tick()
    assert not rig.got
    rig.is_now("online")
    rig.post.tick()
    assert [row.sequence for row in rig.got] == [2, 3]
    rig.is_now("offline")
    rig.is_now("online")
    rig.post.tick()
    assert [row.sequence for row in rig.got] == [2, 3, 2, 3]


def test_a_newer_word_is_sent_although_the_older_one_was_delivered(rig: PostRig) -> None:
    rig.is_now("online")
    rig.say(2, "reject")
    rig.post.tick()
    rig.say(2, "pass", NOON + 61)
    rig.answer(rig.got[0])
    rig.post.tick()
    assert rig.seen(2) == (None, None)
    assert [row.verdict for row in rig.got] == ["reject", "pass"]


def test_an_escalation_that_its_device_has_not_reported_yet_is_labelled_too(rig: PostRig) -> None:
    rig.is_now("online")
    rig.say(9)
    rig.post.tick()
    assert [row.sequence for row in rig.got] == [9]


def test_a_device_gets_only_its_own_labels(rig: PostRig) -> None:
    rig.is_now("online", address=Address("plant", "line-1", "other"))
    rig.say(2)
    rig.post.tick()
    assert not rig.got


@pytest.mark.parametrize("payload", [b"", b"junk", encode(StateMessage("online", "b", 1.0))])
def test_an_answer_that_is_none_changes_nothing(rig: PostRig, payload: bytes) -> None:
    rig.is_now("online")
    rig.say(2)
    rig.device.publish(DEVICE.topic("labelled"), payload)
    rig.post.tick()
    assert rig.seen(2) == (None, None)


def test_the_thread_sends_and_ends(tmp_path: Path) -> None:
    rig = PostRig(f"sqlite:///{tmp_path / 'records.db'}")
    post = LabelDelivery(StoredLabels(rig.database), rig.cloud, rig.clock, DeadWorkers())
    rig.say(2)
    rig.is_now("online")
    post.start()
    post.hurry()
    post.stop()
    rig.database.close()
    assert not post._worker.alive


@pytest.mark.parametrize(
    ("delivered_at", "has_picture", "said"),
    [
        (None, None, "has not got this label yet"),
        (NOON, True, "keeps the picture to learn from"),
        (NOON, False, "has no picture any more, so nothing is learned from it"),
    ],
)
def test_people_read_what_became_of_a_label(
    rig: PostRig, delivered_at: float | None, has_picture: bool | None, said: str
) -> None:
    rig.store.label(
        label(2, verdict="reject", kind="crack", delivered_at=delivered_at, has_picture=has_picture)
    )
    view = rig.records.inspection(InspectionKey("box-1", "b1", 2))
    assert view is not None
    assert story(view)[-1] == f"schulz says: reject, crack. box-1 {said}."


def test_a_label_that_no_device_could_read_is_refused_once_and_holds_up_none(
    rig: PostRig,
) -> None:
    with rig.database.begin() as connection:
        connection.execute(
            LabelRecord.__table__.insert(),  # type: ignore[attr-defined]
            [label(1, verdict="reject", reviewed_at=NOON + 1).model_dump() | {"verdict": "review"}],
        )
    rig.say(2)
    rig.is_now("online")
    rig.post.tick()
    assert [row.sequence for row in rig.got] == [2]
    waiting = StoredLabels(rig.database).waiting_labels([DEVICE.device], 9)
    assert [one.row.sequence for one in waiting] == [2]
    rig.clock.advance(AGAIN_S)
    rig.post.tick()
    assert [row.sequence for row in rig.got] == [2, 2]


class Picky:
    """Records that take every answer but those about one part."""

    def __init__(self, labels: StoredLabels) -> None:
        self._labels = labels
        self.refuses = {1}

    def waiting_labels(self, devices: Sequence[str], limit: int) -> list[WaitingLabel]:
        return self._labels.waiting_labels(devices, limit)

    def label_delivered(self, key: InspectionKey, row: LabelReceipt, at: float) -> None:
        if row.sequence in self.refuses:
            raise RecordsError("it can't be stored")
        self._labels.label_delivered(key, row, at)


def test_an_answer_that_can_t_be_stored_holds_up_none(rig: PostRig) -> None:
    picky = Picky(StoredLabels(rig.database))
    rig.post._records = picky
    for sequence in (1, 2):
        rig.say(sequence)
    rig.is_now("online")
    rig.post.tick()
    for row in rig.got:
        rig.answer(row)
    rig.post.tick()
    assert rig.seen(2) == (rig.clock.utc(), True)
    assert rig.seen(1) == (None, None)


def test_answers_wait_while_nothing_can_be_stored(rig: PostRig) -> None:
    picky = Picky(StoredLabels(rig.database))
    picky.refuses = {1, 2}
    rig.post._records = picky
    for sequence in (1, 2):
        rig.say(sequence)
    rig.is_now("online")
    rig.post.tick()
    for row in rig.got:
        rig.answer(row)
    with pytest.raises(RecordsError):
        rig.post.tick()
    picky.refuses = set()
    rig.post.tick()
    assert rig.seen(1)[1] is rig.seen(2)[1] is True


def test_a_device_that_confirms_nothing_holds_up_no_other(rig: PostRig) -> None:
    for sequence in range(1, 6):
        rig.say(sequence, at=NOON + sequence)
    labels = StoredLabels(rig.database)
    assert [one.row.sequence for one in labels.waiting_labels([DEVICE.device], 3)] == [1, 2, 3]


def test_a_device_that_forgets_nothing_holds_up_no_other(rig: PostRig) -> None:
    rig.store.save([inspection(7, device="box-2")])
    history = LabelHistory(rig.database, rig.clock, AuditLog(rig.database, rig.clock))
    ada = Caller("ada", "inspector")
    for device, sequence in (*(("box-1", n) for n in range(1, 6)), ("box-2", 7)):
        key = InspectionKey(device, "b1", sequence)
        (said,) = history.say([Said(key, "plant", "line-1", "reject", None, "ada")], ada)
        history.take_back([said.number], ada, "ada", anybodys=False)
        rig.clock.advance(1.0)
    waiting = StoredLabels(rig.database).waiting_labels(["box-1", "box-2"], 3)
    assert [one.row.sequence for one in waiting] == [1, 2, 3, 7]
