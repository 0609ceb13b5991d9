"""Rounds over the fleet's MQTT, whatever breaks meanwhile."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp

from edge.learning.rounds import LATE_S
from edge.learning.supervision import LINGER_S
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from shared.errors import MissingExtra
from shared.federation.base_network import BaseNetwork
from shared.federation.chunks import STEP
from shared.federation.protocol import (
    CONFIG,
    COUNTS,
    FAILED,
    GONE,
    NO_LEARNER,
    NOT_NOW,
    REASONS,
    LabelCounts,
    node_of,
)
from shared.wire import RoundPiece, encode
from tests.fleet.rounds.mqtt_rig import MIB, Plant
from tests.fleet.rounds.tiny import tiny_apps, tiny_base

pytestmark = pytest.mark.torch

VALUES = 3 * STEP // 2 + 5
"""More 16-bit numbers than one piece carries."""


def doubling() -> ClientApp:
    """Answers with twice the values that came."""
    app = ClientApp()

    @app.train()
    def train(message: Message, _context: Context) -> Message:
        values = message.content.array_records["arrays"]["values"].numpy()
        content = RecordDict(
            {
                "arrays": ArrayRecord({"change": Array(values * 2)}),
                "metrics": MetricRecord({"num-examples": 3}),
            }
        )
        return Message(content, reply_to=message)

    return app


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path, {name: doubling() for name in ("a", "b", "c")})


def order(device: str, value: float = 1.0) -> Message:
    values = ArrayRecord({"values": Array(np.full(VALUES, value, np.float16))})
    return Message(RecordDict({"arrays": values}), node_of(device), "train")


def change(reply: Message) -> float:
    values = reply.content.array_records["arrays"]["change"].numpy()
    assert values.shape == (VALUES,)
    return float(values[0])


def sources(replies: list[Message]) -> list[int]:
    return [reply.metadata.src_node_id for reply in replies]


def test_every_device_that_is_there_answers_with_what_it_made(plant: Plant) -> None:
    assert sorted(plant.grid.get_node_ids()) == sorted(map(node_of, "abc"))
    replies = plant.send([order("a", 1.0), order("b", 2.0), order("c", 3.0)])
    assert {reply.metadata.src_node_id: change(reply) for reply in replies} == {
        node_of("a"): 2.0,
        node_of("b"): 4.0,
        node_of("c"): 6.0,
    }


def test_no_message_is_larger_than_200_kb_and_little_travels_beside_the_values(
    plant: Plant,
) -> None:
    plant.send([order("a")])
    rounds = [d for d in plant.broker.published if d.topic.endswith(("/round", "/answer"))]
    assert max(len(delivery.payload) for delivery in rounds) < 200_000
    for channel in ("/round", "/answer"):
        total = sum(len(d.payload) for d in rounds if d.topic.endswith(channel))
        assert total < 1.02 * 2 * VALUES
    assert plant.grid.traffic()["a"][0] == pytest.approx(2 * VALUES, rel=0.02)


def test_a_device_says_what_labels_it_has_without_starting_a_learner(
    plant: Plant, tmp_path: Path
) -> None:
    (reply,) = plant.send([Message(RecordDict(), node_of("b"), "query")])
    counts = LabelCounts.decode(reply.content.config_records[CONFIG][COUNTS])
    assert (counts.device, counts.good, counts.defective) == ("b", {"d": 20}, {"d": 20})
    assert not plant.devices["b"].learners


def test_a_base_network_is_fetched_once_and_before_labels_are_counted(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).bytes(5 * STEP + 1)
    (tmp_path / "base.npz").write_bytes(raw)
    name = hashlib.sha256(raw).hexdigest()
    plant = Plant(tmp_path, {"a": doubling()}, tmp_path / "base.npz")
    for _ in range(2):
        (reply,) = plant.send([Message(RecordDict(), node_of("a"), "query")])
        assert LabelCounts.decode(reply.content.config_records[CONFIG][COUNTS]).base == name
        assert plant.send([order("a")])
    assert (tmp_path / "devices" / "a" / "bases" / f"{name}.npz").read_bytes() == raw
    sent = plant.grid.traffic()["a"][0]
    assert sent < len(raw) + 2 * 2 * VALUES + 5000


def test_the_learner_is_kept_for_the_next_round_and_let_go_after_it(plant: Plant) -> None:
    device = plant.devices["a"]
    plant.send([order("a")])
    plant.send([order("a")])
    assert [learner.ended for learner in device.learners] == [False]
    plant.pass_time(LINGER_S + 1)
    assert [learner.ended for learner in device.learners] == [True]
    assert device.rounds.is_idle


def test_the_end_of_a_run_ends_the_learner_at_once(plant: Plant) -> None:
    plant.send([order("a")])
    plant.grid.close()
    plant.devices["a"].step()
    assert plant.devices["a"].learner.ended


def refused(plant: Plant, device: str = "a") -> tuple[int, str]:
    (reply,) = plant.send([order(device)])
    assert reply.has_error()
    return reply.error.code, str(reply.error.reason)


def test_a_device_without_a_learner_says_what_to_install(plant: Plant) -> None:
    plant.devices["a"].missing = MissingExtra("learn", ImportError(name="flwr"))
    code, reason = refused(plant)
    assert code == NO_LEARNER
    assert "`learn`" in reason


def test_a_device_where_learning_is_off_says_so(tmp_path: Path, plant: Plant) -> None:
    device = plant.devices["a"]
    device.killed()
    device.enabled = False
    device.again()
    assert refused(plant) == (NOT_NOW, "learning.enabled is false on this device")


def test_a_device_short_of_memory_or_labels_says_so(plant: Plant) -> None:
    device = plant.devices["a"]
    device.free = 500 * MIB
    assert refused(plant) == (NOT_NOW, "500 MB of memory are free, 1088 are needed")
    device.free, device.labelled = 4096 * MIB, 3
    assert refused(plant) == (NOT_NOW, "3 labelled parts, at least 4 here")
    assert not device.learners


def test_a_learner_that_takes_too_much_memory_is_ended(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    plant.grid.push_messages([order("a")])
    plant.move()
    device.learner.memory = 1500 * MIB
    replies = plant.send([order("b")])
    assert device.learner.ended
    assert sources(replies) == [node_of("b")]
    assert device.health.counts["learner_too_large"] == 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda learner: learner.crash(), "its learner ended: SIGSEGV"),
        (lambda learner: learner.fail("the loss became nan"), "the loss became nan"),
    ],
)
def test_a_learner_that_crashes_or_fails_is_told_and_the_next_order_works(
    plant: Plant, how: Callable[[object], None], said: str
) -> None:
    device = plant.devices["a"]
    device.idle = True
    (id_,) = plant.grid.push_messages([order("a")])
    plant.move()
    how(device.learner)
    plant.move()
    (reply,) = plant.grid.pull_messages([id_])
    assert (reply.error.code, reply.error.reason) == (FAILED, said)
    device.idle = False
    (reply,) = plant.send([order("a")])
    assert change(reply) == 2.0


def test_a_killed_device_costs_the_others_no_more_than_its_grace(plant: Plant) -> None:
    plant.devices["b"].idle = True
    started = plant.clock.monotonic()
    ids = list(plant.grid.push_messages([order("a"), order("b")]))
    plant.move()
    plant.devices["b"].killed()
    del plant.devices["b"]
    plant.pass_time(10)
    replies = {r.metadata.src_node_id: r for r in plant.grid.pull_messages(ids)}
    assert change(replies[node_of("a")]) == 2.0
    assert replies[node_of("b")].error.code == GONE
    assert plant.clock.monotonic() - started < 12
    assert node_of("b") not in plant.grid.get_node_ids()


def test_who_waits_for_devices_goes_on_when_one_comes_or_goes(plant: Plant) -> None:
    waiting = threading.Thread(target=plant.grid.wait, args=(600.0,), daemon=True)
    waiting.start()
    for turn in range(500):
        # A change before it began to wait is none to it.
        plant.devices["b"].tell("online" if turn % 2 else "offline")
        plant.grid.work()
        waiting.join(0.01)
        if not waiting.is_alive():
            break
    assert not waiting.is_alive()


def test_who_waits_for_answers_waits_no_longer_than_the_thread_that_brings_them(
    plant: Plant,
) -> None:
    plant.devices["a"].idle = True
    answers: list[list[Message]] = []
    asking = threading.Thread(
        target=lambda: answers.append(list(plant.grid.send_and_receive([order("a")]))), daemon=True
    )
    asking.start()
    plant.grid._died("grid", SystemExit())
    asking.join(60)
    assert answers == [[]]
    assert not plant.grid.wait(600.0)


def test_a_device_whose_app_leaves_answers_with_that_and_then_goes_on() -> None:
    app, asked = ClientApp(), list[int]()

    @app.train()
    def train(message: Message, _context: Context) -> Message:
        asked.append(len(asked))
        if len(asked) == 1:
            raise SystemExit("enough")
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid({"a": app})
    (first,) = grid.send_and_receive([order("a")])
    (second,) = grid.send_and_receive([order("a")])
    assert first.error.reason == "SystemExit: enough"
    assert not second.has_error()


def test_a_device_that_is_started_again_in_a_round_gets_its_order_again(plant: Plant) -> None:
    device = plant.devices["b"]
    device.idle = True
    (id_,) = plant.grid.push_messages([order("b")])
    plant.move()
    device.killed()
    plant.move()
    device.idle = False
    device.again()
    plant.move()
    (reply,) = plant.grid.pull_messages([id_])
    assert change(reply) == 2.0


def test_after_a_broker_restart_the_round_goes_on(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    (id_,) = plant.grid.push_messages([order("a")])
    plant.move()
    for transport in (device.transport, plant.transport):
        transport.lose()
    device.idle = False
    plant.move(2.0)
    for transport in (device.transport, plant.transport):
        transport.restore()
    plant.move()
    (reply,) = plant.grid.pull_messages([id_])
    assert change(reply) == 2.0
    assert len(device.learners) == 1


def test_an_order_beyond_its_deadline_is_ended_on_the_device(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    assert plant.send([order("a"), order("b")], timeout=5.0)[0].metadata.src_node_id == node_of("b")
    plant.pass_time(1)
    assert device.learner.ended
    assert device.health.counts["rounds_overdue"] == 1
    device.idle = False
    (reply,) = plant.send([order("a")])
    assert change(reply) == 2.0


def test_an_answer_that_the_network_delays_is_counted_as_late_and_not_mixed_in(
    plant: Plant,
) -> None:
    device, post = plant.devices["a"], plant.messaging()
    plant.cut(device.transport, "answer")
    assert post([order("a")], timeout=3.0) == []
    assert post.late() == []
    plant.mend(device.transport)
    plant.pass_time(10)
    assert post.late() == [node_of("a")]
    assert post.late() == []
    (reply,) = post([order("a", 7.0)], timeout=3.0)
    assert change(reply) == 14.0


def test_an_answer_that_nobody_ever_hears_is_let_go(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    plant.grid.push_messages([order("a")])
    plant.move()
    plant.cut(plant.transport)
    device.idle = False
    plant.move()
    assert not device.rounds._parcels.is_idle
    plant.pass_time(LATE_S + 5)
    assert device.rounds._parcels.is_idle


def test_a_new_coordinator_replaces_what_the_old_one_asked(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    plant.grid.push_messages([order("a")])
    plant.move()
    first = device.learner
    plant.transport.lose()
    plant.grid = plant.open_grid()
    (id_,) = plant.grid.push_messages([order("a", 5.0)])
    plant.move()
    assert first.ended
    device.idle = False
    plant.move()
    (reply,) = plant.grid.pull_messages([id_])
    assert change(reply) == 10.0


def test_a_device_can_answer_for_nobody_but_itself(plant: Plant) -> None:
    victim, rogue = plant.devices["a"], plant.devices["b"]
    victim.idle = True
    (id_,) = plant.grid.push_messages([order("a")])
    plant.move()
    forged = RoundPiece("f", "answer", 0, STEP, 1, hashlib.sha256(b"x").hexdigest(), about=id_)
    rogue.transport.publish(rogue.address.topic("answer"), encode(forged, b"x"))
    plant.move()
    assert plant.grid.pull_messages([id_]) == []


def test_what_can_not_be_read_is_that_devices_error_alone(plant: Plant) -> None:
    device = plant.devices["a"]
    device.idle = True
    (id_,) = plant.grid.push_messages([order("a")])
    plant.move()
    device.rounds.offer("answer", b"not Flower's", id_)
    plant.move()
    (reply,) = plant.grid.pull_messages([id_])
    assert reply.error.code == FAILED
    assert "can't be read" in str(reply.error.reason)


@pytest.mark.parametrize("channel", ["round", "answer", "state"])
def test_junk_on_any_channel_does_nothing(plant: Plant, channel: str) -> None:
    topic = plant.devices["a"].address.topic(channel)  # type: ignore[arg-type]
    plant.transport.publish(topic, b"junk")
    plant.devices["c"].transport.publish(topic, b"")
    plant.move()
    (reply,) = plant.send([order("b")])
    assert change(reply) == 2.0


def test_every_code_that_a_device_may_refuse_with_has_a_reason_for_people() -> None:
    assert {NO_LEARNER, NOT_NOW, GONE} <= set(REASONS)


@pytest.mark.parametrize("secure", [False, True])
def test_three_rounds_over_mqtt_end_in_the_same_bits_as_in_process(
    tmp_path: Path, secure: bool
) -> None:
    base = tiny_base(tmp_path)

    def run(folder: str, over_mqtt: bool) -> np.ndarray:
        apps = tiny_apps(3, base, tmp_path / folder)
        plant = Plant(tmp_path / folder, apps, base) if over_mqtt else None
        grid = plant.grid if plant else InProcessGrid(apps)
        settings = RoundSettings(
            base=base,
            folder=tmp_path / folder / "run",
            scope=ScopeSettings(from_block=1, encoder=False),
            local=LocalSettings(rate=0.02, block_share=1.0, versions=2),
            privacy=PrivacySettings(secure_aggregation=secure),
        )
        coordinator = Coordinator(
            grid,
            settings,
            RunPlan(3, run="same"),
            BaseNetwork.read(base),
            messaging=plant.messaging() if plant else None,
        )
        progress = coordinator.run()
        assert [record.outcome for record in progress.history] == ["finished"] * 3
        assert all(len(record.took_part) == 3 or secure for record in progress.history)
        return progress.values

    # Masks of a secure sum are drawn anew each time; what they leave is the same all the same.
    np.testing.assert_array_equal(run("here", False), run("there", True))
