"""The learner's side: tasks from files, answers into files, labels from the journal."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from edge.journal.store import JournalStore
from edge.learner.server import Served, serve
from edge.learning.journal_parts import JournalParts
from edge.learning.labelled_parts import counts_of
from edge.learning.learner_process import Task, TaskDone
from shared.errors import DataError, FederationError, JournalError
from shared.federation.flower_private import message_from_bytes, message_to_bytes, take_identity
from shared.wire import PartLabel
from tests.fleet.rounds.box import PARTS, fill, open_journal
from tests.fleet.rounds.tiny import SIZE

pytestmark = pytest.mark.torch


def counting(base: Path) -> ClientApp:
    """Answers how often it was asked, and of which base it is; the counter lies in the context."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if base.name == "bad":
            raise FederationError("the base is bad")
        if base.name == "worse":
            raise ZeroDivisionError("division by zero")
        known = context.state.config_records.get("n", ConfigRecord({"n": 0}))
        context.state["n"] = ConfigRecord({"n": int(str(known["n"])) + 1})
        content = RecordDict({"n": context.state["n"], "b": ConfigRecord({"b": base.name})})
        return Message(content, reply_to=message)

    return app


class Bench:
    """A served learner and the files of its tasks."""

    def __init__(self, folder: Path) -> None:
        self.made: list[str] = []
        self.refreshed = 0
        self.folder = folder
        self.served = Served(self._make, self._refresh, node=7)

    def task(self, number: int, base: str = "one", raw: bytes | None = None) -> Task:
        path = self.folder / f"{number}.order"
        if raw is None:
            take_identity()  # as the server that asks has done
            raw = message_to_bytes(Message(RecordDict(), 7, "train"))
        path.write_bytes(raw)
        return Task(str(number), str(path), base)

    def _make(self, base: Path) -> ClientApp:
        self.made.append(base.name)
        return counting(base)

    def _refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def answered(done: TaskDone) -> tuple[int, str]:
    assert not done.problem
    content = message_from_bytes(Path(done.answer).read_bytes()).content.config_records
    return int(str(content["n"]["n"])), str(content["b"]["b"])


def test_what_a_device_keeps_lives_from_one_task_to_the_next(bench: Bench) -> None:
    assert answered(bench.served.do(bench.task(1))) == (1, "one")
    assert answered(bench.served.do(bench.task(2))) == (2, "one")
    assert answered(bench.served.do(bench.task(3, "two"))) == (3, "two")
    assert bench.made == ["one", "two"]
    assert bench.refreshed == 3


@pytest.mark.parametrize(
    ("base", "raw", "said"),
    [
        ("bad", None, "the base is bad"),
        ("worse", None, "ZeroDivisionError: division by zero"),
        ("one", b"\xff" * 40, "no message of Flower"),
    ],
)
def test_a_task_that_fails_is_told_and_the_next_one_works(
    bench: Bench, base: str, raw: bytes | None, said: str
) -> None:
    done = bench.served.do(bench.task(1, base, raw))
    assert said in done.problem
    assert not done.answer
    assert answered(bench.served.do(bench.task(2))) == (1, "one")


def test_tasks_come_over_a_socket_until_it_is_closed(bench: Bench) -> None:
    ours, theirs = socket.socketpair()
    learner = threading.Thread(target=serve, args=(theirs, bench.served))
    learner.start()
    with ours, ours.makefile("rb") as lines:
        ours.sendall(msgspec.json.encode(bench.task(1)) + b"\n")
        assert answered(msgspec.json.decode(lines.readline(), type=TaskDone)) == (1, "one")
    ours.close()
    learner.join(10)
    assert not learner.is_alive()


def test_labels_and_pictures_come_from_the_journal_while_it_is_written(tmp_path: Path) -> None:
    fill(tmp_path, "box", seed=1)
    parts = JournalParts(tmp_path / "box.db", "box")
    assert len(parts.index()) == PARTS
    assert parts.picture(0).shape == (SIZE, SIZE)
    assert parts.picture(0).dtype == np.uint8
    assert parts.mask(0) is None
    first = parts.index()[1]
    assert (first.part, first.defective, first.kind, first.domain) == (
        "box/2",
        True,
        "spot",
        "hall",
    )
    counts = counts_of(parts, "b")
    assert counts.held_out + counts.parts == PARTS
    assert set(counts.good) == set(counts.defective) == {"hall"}
    journal = open_journal(tmp_path, "box")
    store: JournalStore = journal.file.writable
    store.connection.execute("DELETE FROM labelled WHERE id = 1")
    with pytest.raises(DataError, match="box/1 is gone"):
        parts.picture(0)
    parts.refresh()
    assert len(parts.index()) == PARTS - 1
    journal.close()


def test_a_journal_that_is_not_there_or_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="can't be read"):
        JournalParts(tmp_path / "none.db", "box")
    journal = open_journal(tmp_path, "box")
    journal.file.writable.connection.execute("PRAGMA user_version = 9")
    journal.close()
    with pytest.raises(JournalError, match="has format 9"):
        JournalParts(tmp_path / "box.db", "box")


def test_a_label_changed_by_an_inspector_changes_what_is_learned(tmp_path: Path) -> None:
    fill(tmp_path, "box", seed=1, parts=4)
    parts = JournalParts(tmp_path / "box.db", "box")
    journal = open_journal(tmp_path, "box")
    boot = str(journal.file.writable.connection.execute("SELECT boot FROM labelled").fetchone()[0])
    journal.label([PartLabel(boot, 2, "pass", "", 9.0)], "hall", lambda _became: None)
    journal.start()
    journal.close()
    assert parts.index()[1].defective
    parts.refresh()
    assert not parts.index()[1].defective


def test_what_an_inspector_drew_teaches_at_the_size_of_the_picture(tmp_path: Path) -> None:
    fill(tmp_path, "box", seed=1, parts=4)
    journal = open_journal(tmp_path, "box")
    boot = str(journal.file.writable.connection.execute("SELECT boot FROM labelled").fetchone()[0])
    drawn = np.zeros((8, 8), np.uint8)
    drawn[:4] = 255
    png = cv2.imencode(".png", drawn, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    for sequence, mask in ((2, png), (4, b"no picture")):
        row = PartLabel(boot, sequence, "reject", "spot", 9.0, mask)
        journal.label([row], "hall", lambda _became: None)
    journal.start()
    journal.close()
    parts = JournalParts(tmp_path / "box.db", "box")
    taught = parts.mask(1)
    assert taught is not None
    assert taught.shape == parts.picture(1).shape
    assert (bool(taught[: SIZE // 2].all()), bool(taught[SIZE // 2 :].any())) == (True, False)
    assert (parts.mask(0), parts.mask(3)) == (None, None)
