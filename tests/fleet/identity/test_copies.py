from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fleet.identity.copies import CopyWatch
from shared.contracts import DeviceState

lives: st.SearchStrategy[list[DeviceState]] = st.lists(
    st.sampled_from(["online", "stopping", "offline"]), min_size=1, max_size=4
)


@given(st.lists(lives, max_size=30), st.data())
def test_reboots_reconnects_and_wills_are_no_copies(
    boots: list[list[DeviceState]], data: st.DataObject
) -> None:
    watch = CopyWatch()
    for number, states in enumerate(boots):
        for state in states:
            assert not watch.seen("box", f"boot-{number}", state)
        # The broker says goodbye for an earlier boot whenever it notices that it has gone.
        earlier = data.draw(st.integers(0, number))
        assert not watch.seen("box", f"boot-{earlier}", "offline")


@given(st.lists(st.sampled_from("ab"), max_size=40))
def test_two_boots_in_turn_are_a_copy(turns: list[str]) -> None:
    watch = CopyWatch()
    seen = [watch.seen("box", boot, "online") for boot in turns]
    changes = sum(one != other for one, other in pairwise(turns))
    assert any(seen) is (changes >= 3)


def test_devices_are_told_apart() -> None:
    watch = CopyWatch()
    assert not any(watch.seen(device, device, "online") for _ in range(5) for device in ("a", "b"))


def test_a_device_starts_anew_after_a_person_has_looked() -> None:
    watch = CopyWatch()
    assert any(watch.seen("box", boot, "online") for boot in "ababab")
    watch.forget("box")
    assert not any(watch.seen("box", boot, "online") for boot in "aba")
