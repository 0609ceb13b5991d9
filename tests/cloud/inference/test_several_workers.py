"""Any number of workers, whatever tails each has."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cloud.inference.tail import LoadedTail, open_tail
from cloud.records.database import Database
from cloud.records.summary import summarise
from shared import wire
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.runtime.settings import RuntimeSettings
from shared.transport.memory import MemoryBroker
from tests.bundles import make_bundle
from tests.cloud.inference.rig import Box, CloudWorker
from tests.cloud.makers import NOON, escalation

ONNX = RuntimeSettings(name="onnx")


@pytest.fixture(scope="module")
def old(bundle: Bundle) -> LoadedTail:
    return open_tail(bundle, ONNX)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> LoadedTail:
    return open_tail(make_bundle(tmp_path_factory.mktemp("new") / "new", height=96, width=96), ONNX)


class SeveralWorkers:
    """Two workers of which the second alone has both tails, and one device."""

    def __init__(self, database: Database, old: LoadedTail, new: LoadedTail) -> None:
        self.broker = MemoryBroker()
        self.clock = ManualClock(utc=NOON)
        self.database = database
        self.workers = [
            CloudWorker(self.broker, database, self.clock, tails, name)
            for name, tails in (("hall-1-7", [old]), ("hall-2-7", [old, new]))
        ]
        self.box = Box(self.broker)
        self.look()

    def look(self) -> None:
        for worker in self.workers:
            worker.roster.look()

    def work(self) -> None:
        for worker in self.workers:
            worker.work()


@pytest.fixture
def several(database: Database, old: LoadedTail, new: LoadedTail) -> SeveralWorkers:
    return SeveralWorkers(database, old, new)


def test_every_escalation_is_answered_though_one_worker_lacks_its_tail(
    several: SeveralWorkers, new: LoadedTail
) -> None:
    for sequence in range(1, 36):
        several.box.escalate(escalation(new.bundle, sequence))
    several.work()
    assert sorted(one.sequence for one in several.box.verdicts) == list(range(1, 36))
    first, second = several.workers
    assert first.counters["handed_on"] > 0
    assert first.counters["unknown_pair"] == second.counters["unknown_pair"] == 0
    assert summarise(several.database).tail_results == 35


def test_a_deadline_is_kept_when_a_part_is_handed_on_after_it_has_waited(
    several: SeveralWorkers, old: LoadedTail
) -> None:
    first, second = several.workers
    for sequence in (1, 2):
        several.box.escalate(escalation(old.bundle, sequence, remaining=0.5))
    several.clock.advance(0.2)
    first.drop(old.bundle.manifest.pair)
    first.judge.step(0)
    (handed,) = [one for one in several.broker.published if "/handed/" in one.topic]
    assert wire.decode(handed.payload, wire.Escalation)[0].remaining == pytest.approx(0.3)
    second.work()
    assert sorted(one.sequence for one in several.box.verdicts) == [1, 2]


def test_what_was_handed_on_is_never_handed_on_again(
    several: SeveralWorkers, new: LoadedTail
) -> None:
    """Each believes that the other serves the pair, and neither does."""
    several.workers[0].add(new)
    several.look()
    for worker in several.workers:
        del worker.tails[new.bundle.manifest.pair]
    with capture_logs() as logs:
        for sequence in range(1, 11):
            several.box.escalate(escalation(new.bundle, sequence))
        several.work()
    assert sum(worker.counters["unknown_pair"] for worker in several.workers) == 10
    assert sum("/handed/" in one.topic for one in several.broker.published) == 10
    assert [one["event"] for one in logs].count("unknown_pair") <= 2


def test_health_names_the_worker_and_the_pair_that_it_lacks(
    several: SeveralWorkers, new: LoadedTail
) -> None:
    pair = new.bundle.manifest.pair
    several.clock.advance(11)
    several.look()
    for worker in several.workers:
        (problem,) = worker.roster.problems
        assert f"hall-1-7 lacks the tail of pair {pair}" in problem
        assert worker.roster.lacking(pair) == [
            f"worker hall-1-7 does not serve the tail of pair {pair}"
        ]
    several.workers[0].add(new)
    several.look()
    assert [worker.roster.problems for worker in several.workers] == [[], []]
    assert several.workers[1].roster.lacking(pair) == []


def test_a_worker_that_leaves_or_is_cut_off_is_no_longer_counted_on(
    several: SeveralWorkers, new: LoadedTail
) -> None:
    first, second = several.workers
    pair = new.bundle.manifest.pair
    assert first.roster.others_serve(pair)
    second.transport.lose()
    second.roster.look()
    first.roster.look()
    assert not first.roster.others_serve(pair)
    second.transport.restore()
    second.roster.stop()
    first.roster.look()
    assert [one.name for one in first.roster.entries] == ["hall-1-7"]


def test_what_workers_serve_is_not_known_without_their_database(
    several: SeveralWorkers, old: LoadedTail
) -> None:
    pair = old.bundle.manifest.pair
    assert several.workers[0].roster.lacking(pair) == []
    several.clock.advance(11)
    (why,) = several.workers[0].roster.lacking(pair)
    assert "database is away" in why


def test_a_pair_that_nobody_serves_is_told_once_and_shown(
    several: SeveralWorkers, bundle: Bundle
) -> None:
    with capture_logs() as logs:
        for sequence in range(1, 21):
            several.box.escalate(escalation(bundle, sequence, pair="feedfeedfeedfeed"))
    assert [one["event"] for one in logs] == ["unknown_pair"] * 2
    problems = [text for one in several.workers for text in one.intake.unserved.problems]
    assert len(problems) == 2
    assert "10 escalations of pair feedfeedfeedfeed came, the first from box-1" in problems[0]
    several.clock.advance(61)
    assert several.workers[0].intake.unserved.problems == []


@pytest.mark.parametrize("pair", ["", "a/b", "+", "#", "x" * 64])
def test_a_pair_that_no_topic_can_carry_has_no_effect(
    several: SeveralWorkers, bundle: Bundle, pair: str
) -> None:
    several.box.escalate(escalation(bundle, 1, pair=pair))
    several.work()
    assert several.box.verdicts == []
    assert sum(worker.counters["unknown_pair"] for worker in several.workers) == 1


def test_a_client_that_joins_the_shared_group_is_noticed(several: SeveralWorkers) -> None:
    first, second = several.workers
    for worker in (first, second, first, second):
        worker.probe.send()
        several.clock.advance(5)
    assert first.probe.problems == second.probe.problems == []
    stranger = several.broker.transport()
    groups = {topic for topic, _ in first.transport.subscriptions if topic.startswith("$share/")}
    for topic in groups:
        stranger.subscribe(topic, lambda _delivery: None)
    stranger.start()
    for _ in range(20):
        first.probe.send()
        several.clock.advance(5)
    assert "did not come: somebody else in the shared group" in first.probe.problems[0]


def test_no_device_knows_the_name_of_the_shared_group(
    several: SeveralWorkers, tmp_path: Path
) -> None:
    def groups(worker: CloudWorker) -> set[str]:
        found = (topic.split("/")[1] for topic, _ in worker.transport.subscriptions)
        return {name.split("-")[0] for name in found if len(name) > 30}

    first, second = several.workers
    assert len(groups(first)) == 1
    assert groups(first) == groups(second)
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    elsewhere = CloudWorker(several.broker, other, several.clock, [])
    other.close()
    assert groups(elsewhere) != groups(first)
