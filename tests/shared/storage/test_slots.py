"""Which of two slots starts, whatever happens to it and in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.errors import UpdateError
from shared.storage.slots import SLOTS, SlotRecord, other

records = st.builds(
    SlotRecord, st.sampled_from(SLOTS), st.sampled_from([None, *SLOTS]), st.integers(0, 9)
)


@given(records)
def test_a_record_is_what_its_fields_say(record: SlotRecord) -> None:
    assert SlotRecord.from_fields(record.to_fields()) == record


@given(st.dictionaries(st.sampled_from(["live", "trial", "tries"]), st.text(max_size=4)))
def test_fields_that_name_no_slot_are_refused(fields: dict[str, str]) -> None:
    sound = (
        fields.get("live") in SLOTS
        and fields.get("trial") in {*SLOTS, "none"}
        and fields.get("tries", "").isdigit()
    )
    if not sound:
        with pytest.raises(UpdateError, match="slot record"):
            SlotRecord.from_fields(fields)


@given(st.sampled_from(SLOTS), st.integers(1, 5))
def test_a_trial_gets_its_tries_and_not_one_more(live: str, tries: int) -> None:
    slot = next(one for one in SLOTS if one == live)
    record = SlotRecord(slot).tried(other(slot), tries)
    started = []
    for _ in range(tries + 2):
        chosen, record = record.booted()
        started.append(chosen)
    assert started == [other(slot)] * tries + [slot, slot]
    assert record == SlotRecord(slot)


@given(st.sampled_from(SLOTS), st.integers(-3, 3))
def test_the_live_slot_can_not_be_tried_nor_any_slot_without_tries(live: str, tries: int) -> None:
    slot = next(one for one in SLOTS if one == live)
    with pytest.raises(UpdateError):
        SlotRecord(slot).tried(slot, max(tries, 1))
    if tries < 1:
        with pytest.raises(UpdateError):
            SlotRecord(slot).tried(other(slot), tries)


class Device(RuleBasedStateMachine):
    """Trials, starts, commits and returns in any order; `good` is what was committed last."""

    def __init__(self) -> None:
        super().__init__()
        self.record = SlotRecord()
        self.good = self.record.live
        self.left = 0

    @precondition(lambda self: self.record.trial is None)
    @rule(tries=st.integers(1, 3))
    def tries_out(self, tries: int) -> None:
        self.record = self.record.tried(other(self.record.live), tries)
        self.left = tries

    @rule()
    def starts(self) -> None:
        on_trial = self.record.trial
        started, self.record = self.record.booted()
        if on_trial is not None and self.left:
            assert started == on_trial
            self.left -= 1
        else:
            assert started == self.good

    @rule()
    def commits(self) -> None:
        self.good = self.record.trial or self.good
        self.record = self.record.committed()

    @rule()
    def returns(self) -> None:
        self.record = self.record.returned()

    @invariant()
    def what_is_good_stays_live(self) -> None:
        assert self.record.live == self.good
        assert self.record.trial != self.good


TestDevice = Device.TestCase
