"""What inspectors say, from the broker to the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.journal.journal import Journal
from edge.journal.quota import Caps, Quota
from edge.journal.store import JournalStore
from edge.link.labels import LabelReceiver
from shared.contracts import PlainVerdict
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import (
    LabelReceipt,
    LabelReceipts,
    Labels,
    PartLabel,
    Receipt,
    Withdrawal,
    decode,
    encode,
)
from tests.edge.rigs import commit, open_journal, rows_in
from tests.edge.test_journal import decided

ADDRESS = Address("plant", "line", "box")


class LabelRig:
    """A journal with four parts, the first three with a picture, and a cloud that labels them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = open_journal(folder, label_bytes=1 << 20)
        self.broker = MemoryBroker()
        self.device, self.cloud = self.broker.transport(), self.broker.transport()
        self.health = self.journal._health
        LabelReceiver(
            self.journal, self.device, ADDRESS, domain="hall 3", health=self.health
        ).listen()
        self.device.start()
        self.cloud.start()
        self.answers: list[LabelReceipts] = []
        self.cloud.subscribe(ADDRESS.topic("labelled"), self._answered)
        for sequence in range(1, 5):
            picture = b"picture %d" % sequence if sequence < 4 else None
            self.journal.record(decided(self.journal, sequence), picture, None)
        commit(self.journal)

    def say(
        self,
        sequence: int,
        verdict: PlainVerdict,
        said_at: float = 1.0,
        kind: str = "",
        mask: bytes = b"",
    ) -> None:
        row = PartLabel(self.journal.boot, sequence, verdict, kind, said_at, mask)
        self.cloud.publish(ADDRESS.topic("label"), encode(Labels([row])))
        commit(self.journal)

    def take_back(self, sequence: int, at: float) -> None:
        gone = Withdrawal(self.journal.boot, sequence, at)
        self.cloud.publish(ADDRESS.topic("label"), encode(Labels([], [gone])))
        commit(self.journal)

    @property
    def labelled(self) -> list[dict[str, object]]:
        return rows_in(self.folder, "labelled")

    def _answered(self, delivery: Delivery) -> None:
        self.answers.append(decode(delivery.payload, LabelReceipts)[0])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LabelRig]:
    rig = LabelRig(tmp_path)
    yield rig
    rig.journal.close()


def test_a_label_takes_the_picture_out_of_the_ring_into_a_quota_of_its_own(rig: LabelRig) -> None:
    rig.say(2, "reject", 5.0, "crack")
    (row,) = rig.labelled
    assert (row["part"], row["defective"], row["kind"], row["domain"], row["picture"]) == (
        2,
        1,
        "crack",
        "hall 3",
        b"picture 2",
    )
    assert [row["id"] for row in rows_in(rig.folder, "frames")] == [1, 3]
    assert rig.answers == [LabelReceipts([LabelReceipt(rig.journal.boot, 2, 5.0, kept=True)])]


def test_a_label_whose_picture_is_gone_is_answered_so(rig: LabelRig) -> None:
    rig.say(4, "reject")
    rig.say(99, "pass")
    assert [answer.rows[0].kept for answer in rig.answers] == [False, False]
    assert not rig.labelled
    assert rig.health.counts["labels_without_picture"] == 2


def test_the_same_label_twice_changes_nothing_and_is_answered_twice(rig: LabelRig) -> None:
    rig.say(1, "reject", 2.0)
    before = rig.labelled
    rig.say(1, "reject", 2.0)
    assert rig.labelled == before
    assert len(rig.answers) == 2


def test_the_newest_word_counts_however_late_an_older_one_comes(rig: LabelRig) -> None:
    rig.say(1, "pass", 9.0)
    rig.say(1, "reject", 2.0, "scratch")
    (row,) = rig.labelled
    assert (row["defective"], row["said_at"]) == (0, 9.0)
    rig.say(1, "reject", 10.0, "crack")
    assert rig.labelled[0]["kind"] == "crack"


def test_a_label_that_was_taken_back_is_forgotten_and_its_picture_is_in_the_ring_again(
    rig: LabelRig,
) -> None:
    rig.say(2, "reject", 5.0, "crack")
    rig.take_back(2, 6.0)
    assert rig.labelled == []
    assert [row["id"] for row in rows_in(rig.folder, "frames")] == [1, 2, 3]
    assert rig.answers[-1] == LabelReceipts([LabelReceipt(rig.journal.boot, 2, 6.0, kept=False)])
    # The label itself, sent again by a worker that has not heard of it, does not come back.
    rig.say(2, "reject", 5.0, "crack")
    assert rig.labelled == []
    rig.say(2, "pass", 7.0)
    assert [row["defective"] for row in rig.labelled] == [0]
    # And what was taken back before the newest word changes nothing.
    rig.take_back(2, 6.5)
    assert [row["defective"] for row in rig.labelled] == [0]
    assert rig.health.counts["labels_taken_back"] == 2


def test_what_was_drawn_is_kept_beside_the_label_and_goes_with_a_later_one(rig: LabelRig) -> None:
    rig.say(2, "reject", 5.0, "crack", mask=b"drawn")
    assert [row["mask"] for row in rows_in(rig.folder, "label_masks")] == [b"drawn"]
    rig.say(2, "reject", 4.0, "older", mask=b"older")
    assert [row["mask"] for row in rows_in(rig.folder, "label_masks")] == [b"drawn"]
    rig.say(2, "pass", 6.0)
    assert rows_in(rig.folder, "label_masks") == []


def test_a_label_is_answered_only_once_it_is_on_disk(rig: LabelRig) -> None:
    row = PartLabel(rig.journal.boot, 1, "pass", "", 1.0)
    rig.cloud.publish(ADDRESS.topic("label"), encode(Labels([row])))
    assert not rig.answers
    commit(rig.journal)
    assert rig.answers


@pytest.mark.parametrize(
    "payload", [b"", b"junk", encode(Receipt("b", 1)), encode(Labels([]), b"x")]
)
def test_what_is_no_label_is_counted_and_does_nothing(rig: LabelRig, payload: bytes) -> None:
    rig.cloud.publish(ADDRESS.topic("label"), payload)
    assert rig.health.counts["payloads_refused"] == 1
    assert not rig.answers


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from(["pass", "reject"])), max_size=40))
def test_labelled_pictures_keep_within_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, shown: list[tuple[int, PlainVerdict]]
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    store = JournalStore(folder / "journal.db", Quota(Caps(1 << 20, 1 << 20, 1000)))
    for row_id, (size, verdict) in enumerate(shown, 1):
        journal_row(store, row_id)
        store.keep_picture(row_id, b"x" * size)
        assert store.label(PartLabel("b", row_id, verdict, "", float(row_id)), "d")
        total, count = store.connection.execute(
            "SELECT sum(bytes), count(*) FROM labelled"
        ).fetchone()
        assert total <= 1000
        assert count >= 1
    assert store.connection.execute("SELECT count(*) FROM frames").fetchone()[0] == 0
    store.close()


def test_a_flood_of_good_parts_does_not_drown_the_defects(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db", Quota(Caps(1 << 20, 1 << 20, 1000)))
    verdicts: list[PlainVerdict] = ["reject", "reject", *["pass"] * 30]  # type: ignore[list-item]
    for row_id, verdict in enumerate(verdicts, 1):
        journal_row(store, row_id)
        store.keep_picture(row_id, b"x" * 100)
        store.label(PartLabel("b", row_id, verdict, "", float(row_id)), "d")
    assert [row["id"] for row in rows_in(tmp_path, "labelled") if row["defective"]] == [1, 2]
    assert [row["id"] for row in rows_in(tmp_path, "labelled")][2:] == list(range(25, 33))
    store.close()


def journal_row(store: JournalStore, row_id: int) -> None:
    store.connection.execute(
        "INSERT INTO inspections (id, boot, sequence, part, decision, score, inspected_at, "
        "edge_ms, escalated_bytes, frame_bytes, source, bundle) "
        "VALUES (?, 'b', ?, ?, 'pass', 0, 0, 0, 0, 0, '', '')",
        (row_id, row_id, row_id),
    )


def test_what_labels_need_is_in_every_journal(tmp_path: Path) -> None:
    journal: Journal = open_journal(tmp_path)
    journal.close()
    assert rows_in(tmp_path, "labelled") == []
