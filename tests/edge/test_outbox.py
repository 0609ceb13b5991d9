from __future__ import annotations

import random

import pytest

from edge.link.outbox import BATCH_S, EARLIER, SILENCE_S
from edge.link.throttle import (
    LEAST_ROWS,
    MOST_ROWS,
    RESEND_S,
    SLOW_S,
    SPREAD_S,
    TRIES,
    BatchThrottle,
)
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.contracts import VERDICTS, Decision
from shared.inspection import Inspection
from shared.wire import Inspections, Receipt, decode, encode
from tests.bundles import BAD, GOOD, UNSURE_BAD
from tests.edge.rigs import ADDRESS, Rig
from tests.system.deployed import OldInspections, read


def batches(rig: Rig, first: int = 0) -> list[Inspections]:
    topic = ADDRESS.topic("inspections")
    sent = [d for d in rig.broker.published if d.topic == topic][first:]
    return [decode(delivery.payload, Inspections)[0] for delivery in sent]


def receipt(rig: Rig, batch: int, boot: str | None = None) -> None:
    rig.say("receipt", Receipt(rig.journal.boot if boot is None else boot, batch))
    rig.commit()


def decide(rig: Rig, count: int) -> None:
    for _ in range(count):
        rig.show(GOOD)
    rig.commit()


def test_decided_inspections_go_out_with_their_verdicts(rig: Rig) -> None:
    rig.show(GOOD)
    rig.show(BAD)
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.outbox.tick()
    (batch,) = batches(rig)
    assert [(row.part, row.verdict) for row in batch.rows] == [(1, "pass"), (2, "reject")]
    assert all((row.total_ms or 0.0) >= row.edge_ms for row in batch.rows)


def test_a_part_to_review_goes_out_as_one_and_is_a_reject_to_an_old_cloud(rig: Rig) -> None:
    for sequence, verdict in enumerate(VERDICTS, 1):
        rig.show(UNSURE_BAD)
        rig.answer(sequence, verdict)
    rig.commit()
    rig.outbox.tick()
    (batch,) = batches(rig)
    assert [row.verdict for row in batch.inspections] == list(VERDICTS)
    old = read(encode(batch), OldInspections)
    assert [(row.decision, row.verdict) for row in old.rows] == [
        ("escalate", "pass"),
        ("escalate", "reject"),
        ("escalate", "reject"),
    ]


def test_a_batch_is_resent_under_its_number_until_the_receipt_comes(rig: Rig) -> None:
    decide(rig, 3)
    rig.outbox.tick()
    rig.outbox.tick()
    assert len(batches(rig)) == 1
    rig.clock.advance(RESEND_S[0])
    rig.outbox.tick()
    first, second = batches(rig)
    assert first == second
    receipt(rig, first.batch)
    rig.clock.advance(RESEND_S[0])
    rig.outbox.tick()
    assert len(batches(rig)) == 2
    assert rig.outbox.is_empty


def test_a_lost_connection_resends_within_seconds(rig: Rig) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    rig.transport.lose()
    rig.outbox.tick()
    rig.transport.restore()
    rig.clock.advance(SPREAD_S)
    rig.outbox.tick()
    assert len(batches(rig)) == 2


def test_boxes_that_lost_their_broker_come_back_each_in_a_moment_of_its_own() -> None:
    clock = ManualClock()
    waits = []
    for box in range(1000):
        throttle = BatchThrottle(clock, random.Random(box))  # noqa: S311
        throttle.reconnected()
        waits.append(throttle.wait_s)
    most_in_a_second = max(
        sum(begin <= wait < begin + 1 for wait in waits) for begin in range(int(SPREAD_S))
    )
    assert most_in_a_second < 1000 / SPREAD_S * 1.5


def test_the_first_connection_waits_for_nobody(rig: Rig) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    assert len(batches(rig)) == 1


def test_a_slow_cloud_gets_less_at_once_and_has_as_long_for_others() -> None:
    clock = ManualClock()
    throttle = BatchThrottle(clock)
    for _ in range(10):
        throttle.sent()
        throttle.received(3 * SLOW_S)
        assert throttle.wait_s == pytest.approx(3 * SLOW_S)
    assert throttle.rows == LEAST_ROWS
    for _ in range(10):
        throttle.sent()
        throttle.received(0.01)
    assert throttle.rows == MOST_ROWS
    assert throttle.wait_s < SLOW_S


def test_a_cloud_that_is_far_away_keeps_up_with_a_line_of_50_parts_a_second() -> None:
    clock, sent, way_s = ManualClock(), 0, 0.35
    throttle, begun = BatchThrottle(clock), clock.monotonic()
    while clock.monotonic() < begun + 60:
        sent += throttle.rows
        throttle.sent()
        clock.advance(way_s)
        throttle.received(way_s)
        clock.advance(throttle.wait_s)
    assert sent > 50 * 60


def test_a_cloud_that_is_away_is_asked_ever_more_seldom(rig: Rig) -> None:
    decide(rig, 1)
    for _ in range(720):
        rig.outbox.tick()
        rig.clock.advance(5)
    assert len(batches(rig)) < 3600 / RESEND_S[0] / 2
    receipt(rig, batches(rig)[-1].batch)
    assert rig.outbox.is_empty


def talk(rig: Rig, seconds: int, refused: set[int]) -> None:
    """A cloud that answers no batch with one of these parts in it."""
    heard = 0
    for _ in range(seconds // 5):
        rig.outbox.tick()
        for batch in batches(rig, heard):
            heard += 1
            if not refused & {row.part for row in batch.rows}:
                receipt(rig, batch.batch)
        rig.clock.advance(5)


@pytest.mark.parametrize("refused", [{7}, {1}, {3, 4, 5}])
def test_inspections_that_the_cloud_never_confirms_do_not_hold_back_the_others(
    rig: Rig, refused: set[int]
) -> None:
    decide(rig, 60)
    talk(rig, 6000, refused)
    assert {row.part for _, row in rig.journal.unsent(99)} == refused
    assert rig.health.counts["inspections_not_taken"] == len(refused)
    assert any("not taken" in problem for problem in rig.health.problems)


def test_a_cloud_that_comes_back_after_hours_gets_everything(rig: Rig) -> None:
    decide(rig, 250)
    talk(rig, 7200, set(range(251)))
    talk(rig, 200, set())
    assert rig.outbox.is_empty
    assert "inspections_not_taken" not in rig.health.counts


def test_a_receipt_that_comes_late_counts(rig: Rig) -> None:
    decide(rig, 10)
    for _ in range(TRIES + 1):
        rig.outbox.tick()
        rig.clock.advance(RESEND_S[1])
    first = batches(rig)[0]
    assert batches(rig)[-1].batch != first.batch
    receipt(rig, first.batch)
    assert rig.outbox.is_empty or rig.journal.waiting() == 0
    assert EARLIER > 1


@pytest.mark.parametrize(("batch", "boot"), [(1, "0123456789abcdef"), (2, None), (0, None)])
def test_a_receipt_for_another_boot_or_batch_is_ignored(
    rig: Rig, batch: int, boot: str | None
) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    receipt(rig, batch, boot)
    assert not rig.outbox.is_empty
    assert rig.health.counts["receipts_of_another_batch"] == 1


def test_a_full_batch_does_not_wait_and_only_one_is_under_way(rig: Rig) -> None:
    decide(rig, MOST_ROWS + 5)
    rig.outbox.tick()
    rig.outbox.tick()
    (first,) = batches(rig)
    assert len(first.rows) == MOST_ROWS
    receipt(rig, first.batch)
    rig.outbox.tick()
    assert len(batches(rig)) == 1
    rig.clock.advance(BATCH_S)
    rig.outbox.tick()
    assert [len(batch.rows) for batch in batches(rig)] == [MOST_ROWS, 5]


def test_what_a_former_boot_left_is_sent_too(rig: Rig, bundle: Bundle) -> None:
    decide(rig, 2)
    rig.close()
    again = Rig(rig.folder, bundle)
    again.outbox.tick()
    (batch,) = batches(again)
    assert [row.boot for row in batch.rows] == [rig.journal.boot] * 2
    again.close()


def test_rows_with_long_sources_are_sent_in_smaller_batches(rig: Rig) -> None:
    for sequence in range(1, MOST_ROWS + 1):
        boot, decision, long = rig.journal.boot, Decision.PASS, "ä" * 1000
        inspection = Inspection(
            boot, sequence, sequence, decision, "pass", "edge", 0.1, 1.8e9, 1.0, 2.0, source=long
        )
        rig.journal.record(inspection, None, None)
    rig.commit()
    rig.outbox.tick()
    (batch,) = batches(rig)
    assert 0 < len(batch.rows) < MOST_ROWS


def test_a_malformed_receipt_is_ignored(rig: Rig) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    rig.cloud.publish(ADDRESS.topic("receipt"), b"nonsense")
    assert rig.health.counts["payloads_refused"] == 1
    receipt(rig, 1)
    assert rig.outbox.is_empty


def test_batches_are_cut_to_what_the_broker_takes(rig: Rig) -> None:
    rig.broker.max_payload = 4000
    decide(rig, 40)
    sent = 0
    while rig.journal.waiting():
        rig.outbox.tick()
        (batch,) = batches(rig, sent)
        sent += 1
        receipt(rig, batch.batch)
        rig.clock.advance(1.0)
    assert sum(len(batch.rows) for batch in batches(rig)) == 40
    topic = ADDRESS.topic("inspections")
    assert all(len(d.payload) <= 4000 for d in rig.broker.published if d.topic == topic)


def test_a_batch_under_way_is_cut_anew_where_the_broker_turns_out_to_take_less(rig: Rig) -> None:
    decide(rig, MOST_ROWS)
    rig.outbox.tick()
    (first,) = batches(rig)
    assert len(first.rows) == MOST_ROWS
    rig.broker.max_payload = 2000
    rig.clock.advance(BATCH_S)
    rig.outbox.tick()
    (_, second) = batches(rig)
    assert 0 < len(second.rows) < MOST_ROWS
    assert second.batch != first.batch


def test_receipts_that_never_come_are_told_until_one_does(rig: Rig) -> None:
    decide(rig, 3)
    begun = rig.clock.monotonic()
    while rig.clock.monotonic() - begun <= SILENCE_S + RESEND_S[0]:
        assert not any("receipt" in text for text in rig.health.problems) or (
            rig.clock.monotonic() - begun >= SILENCE_S
        )
        rig.outbox.tick()
        rig.clock.advance(1.0)
    (told,) = rig.health.problems
    assert told.startswith("receipts: the broker takes inspections, but no receipt has come for")
    assert "ACL" in told
    receipt(rig, batches(rig)[-1].batch)
    assert not rig.health.problems
