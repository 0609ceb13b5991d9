from __future__ import annotations

import pytest

from edge.link.outbox import BATCH_S, RESEND_S
from shared.bundles.bundle import Bundle
from shared.contracts import VERDICTS, Decision
from shared.inspection import Inspection
from shared.wire import MAX_BATCH, Inspections, Receipt, decode, encode
from tests.bundles import BAD, GOOD, UNSURE_BAD
from tests.edge.rigs import ADDRESS, Rig
from tests.system.deployed import OldInspections, read


def batches(rig: Rig) -> list[Inspections]:
    topic = ADDRESS.topic("inspections")
    sent = [d for d in rig.broker.published if d.topic == topic]
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
    rig.clock.advance(RESEND_S)
    rig.outbox.tick()
    first, second = batches(rig)
    assert first == second
    receipt(rig, first.batch)
    rig.clock.advance(RESEND_S)
    rig.outbox.tick()
    assert len(batches(rig)) == 2
    assert rig.outbox.is_empty


def test_a_lost_connection_resends_at_once(rig: Rig) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    rig.transport.lose()
    rig.outbox.tick()
    rig.transport.restore()
    rig.outbox.tick()
    assert len(batches(rig)) == 2


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
    decide(rig, MAX_BATCH + 5)
    rig.outbox.tick()
    rig.outbox.tick()
    (first,) = batches(rig)
    assert len(first.rows) == MAX_BATCH
    receipt(rig, first.batch)
    rig.outbox.tick()
    assert len(batches(rig)) == 1
    rig.clock.advance(BATCH_S)
    rig.outbox.tick()
    assert [len(batch.rows) for batch in batches(rig)] == [MAX_BATCH, 5]


def test_what_a_former_boot_left_is_sent_too(rig: Rig, bundle: Bundle) -> None:
    decide(rig, 2)
    rig.close()
    again = Rig(rig.folder, bundle)
    again.outbox.tick()
    (batch,) = batches(again)
    assert [row.boot for row in batch.rows] == [rig.journal.boot] * 2
    again.close()


def test_rows_with_long_sources_are_sent_in_smaller_batches(rig: Rig) -> None:
    for sequence in range(1, MAX_BATCH + 1):
        boot, decision, long = rig.journal.boot, Decision.PASS, "ä" * 1000
        inspection = Inspection(
            boot, sequence, sequence, decision, "pass", "edge", 0.1, 1.8e9, 1.0, 2.0, source=long
        )
        rig.journal.record(inspection, None, None)
    rig.commit()
    rig.outbox.tick()
    (batch,) = batches(rig)
    assert 0 < len(batch.rows) < MAX_BATCH


def test_a_malformed_receipt_is_ignored(rig: Rig) -> None:
    decide(rig, 1)
    rig.outbox.tick()
    rig.cloud.publish(ADDRESS.topic("receipt"), b"nonsense")
    assert rig.health.counts["payloads_refused"] == 1
    receipt(rig, 1)
    assert rig.outbox.is_empty
