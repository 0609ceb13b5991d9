"""Topic names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError, WireError
from shared.topics import CHANNELS, NAME, Address, Channel, everyone, parse
from shared.transport.memory import matches

names = st.from_regex(NAME, fullmatch=True)
addresses = st.builds(Address, names, names, names)
channels = st.sampled_from(CHANNELS)


@given(addresses, channels)
def test_a_topic_names_its_address_and_channel(address: Address, channel: Channel) -> None:
    assert parse(address.topic(channel)) == (address, channel)


@given(addresses, channels, channels)
def test_the_filter_for_everyone_takes_one_channel_alone(
    address: Address, channel: Channel, other: Channel
) -> None:
    assert matches(everyone(channel), address.topic(other)) == (channel == other)


def test_a_shared_filter_names_its_group() -> None:
    shared = everyone("escalation", shared_as="intake")
    assert shared == "$share/intake/splitsight/v1/+/+/+/escalation"


@given(st.text(alphabet="splitsight/v1 abc#+\x00é.-", max_size=60))
def test_any_other_topic_is_a_wire_error(topic: str) -> None:
    try:
        address, channel = parse(topic)
    except WireError:
        return
    assert address.topic(channel) == topic


@pytest.mark.parametrize(
    "topic",
    [
        "splitsight/v1/a/b/c/nothing",
        "splitsight/v2/a/b/c/state",
        "splitsight/v1/a/b/state",
        "splitsight/v1/a b/b/c/state",
        "splitsight/v1//b/c/state",
        "other/v1/a/b/c/state",
    ],
)
def test_a_topic_that_is_nearly_ours_is_a_wire_error(topic: str) -> None:
    with pytest.raises(WireError, match="is not a topic of splitsight"):
        parse(topic)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "-a", "é", "a b", "x" * 64, "a\n"])
def test_a_name_that_no_topic_can_carry_is_refused(name: str) -> None:
    for place in range(3):
        parts = ["ok", "ok", "ok"]
        parts[place] = name
        with pytest.raises(SettingsError, match=r"^(site|line|device) is"):
            Address(*parts)
