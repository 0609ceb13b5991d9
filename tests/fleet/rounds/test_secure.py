"""A secure sum: exact whoever drops out, refused where too few stay, silent about one update."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge.learner import secure_aggregation as device
from shared.errors import FederationError
from shared.federation.fixed_point import unpack
from shared.federation.masking import threshold
from shared.federation.secure_aggregation import (
    Masked,
    Revealed,
    Roster,
    SharesDelivery,
    Survivors,
    read,
)
from tests.fleet.rounds.secure_rig import Plant, Round, Until

LENGTH = 12


def plants(
    stays: list[Until], seed: int = 0, length: int = LENGTH, *, offset: int = 11
) -> dict[int, Plant]:
    rng = np.random.default_rng(seed)
    return {
        offset + 7 * place: Plant(
            rng.normal(0, 0.2, length).astype(np.float32), int(rng.integers(1, 100)), until
        )
        for place, until in enumerate(stays)
    }


def can_end(stays: list[Until]) -> bool:
    """Whether so many stay as the threshold asks for (all are neighbours of all)."""
    wanted = threshold(sum(until >= Until.KEYS for until in stays))
    return (
        sum(until >= Until.KEYS for until in stays) >= 3
        and sum(until == Until.ALL for until in stays) >= wanted
    )


@settings(max_examples=60)
@given(st.lists(st.sampled_from(Until), min_size=3, max_size=7), st.integers(0, 99))
def test_the_sum_is_exact_or_refused_whoever_drops_out_wherever(
    stays: list[Until], seed: int
) -> None:
    round_ = Round(plants(stays, seed))
    if not can_end(stays):
        with pytest.raises(FederationError):
            round_.run()
        return
    outcome = round_.run()
    came = tuple(one for one, plant in round_.plants.items() if plant.until >= Until.UPDATE)
    mean, weight = round_.plain(came)
    assert outcome.devices == came
    assert outcome.weight == weight
    assert np.array_equal(outcome.mean, mean)
    assert set(round_.server.aside) == {
        one for one, plant in round_.plants.items() if Until.KEYS <= plant.until < Until.ALL
    }


@settings(max_examples=6)
@given(st.integers(0, 99))
def test_with_some_neighbours_only_the_sum_is_exact_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stays = [Until(int(u)) for u in rng.choice(5, 40, p=[0.03, 0.03, 0.03, 0.03, 0.88])]
    round_ = Round(plants(stays, seed))
    outcome = round_.run()
    assert max(map(len, round_.server._around.values())) < 39
    assert np.array_equal(outcome.mean, round_.plain(outcome.devices)[0])


def test_the_mean_lies_within_the_stated_error_of_the_updates_own() -> None:
    round_ = Round(plants([Until.ALL] * 5, length=2000), cap=64)
    outcome = round_.run()
    weights = np.array([min(plant.weight, 64) for plant in round_.plants.values()])
    clipped = [np.clip(p.values.astype(np.float64), -0.5, 0.5) for p in round_.plants.values()]
    wanted = np.average(clipped, axis=0, weights=weights)
    error = round_.encoding.error(0.5, outcome.weight, 5)
    assert np.abs(outcome.mean - wanted).max() <= error
    assert error < 0.5 / 2**18


def test_below_the_threshold_the_round_ends_and_names_who_is_missing() -> None:
    stays = [Until.ALL, Until.ALL, Until.KEYS, Until.UPDATE, Until.SHARES]
    with pytest.raises(FederationError, match=r"box-25: its shares did not come") as raised:
        Round(plants(stays)).run()
    assert "take" in str(raised.value)


def test_two_that_trained_are_too_few() -> None:
    with pytest.raises(FederationError, match="2 devices are left, 3 are needed"):
        Round(plants([Until.ALL, Until.ALL, Until.NOTHING])).run()


def test_a_masked_update_looks_uniform_and_nothing_like_the_update() -> None:
    round_ = Round(plants([Until.ALL] * 3, length=60_000))
    round_.run()
    for one, raw in round_.seen["update"].items():
        words = unpack(read(raw, Masked).words, round_.length + 1)
        counts = np.bincount(words >> 12, minlength=4096)
        assert stats.chisquare(counts).pvalue > 1e-6
        plain = round_.words(one)
        assert np.mean(words == plain) < 0.001
        ordinary = np.bincount(plain >> 12, minlength=4096)
        assert stats.chisquare(ordinary).pvalue < 1e-12, "the test would see an update in the open"


def test_one_update_stays_hidden_from_a_server_that_knows_all_keys_that_were_revealed() -> None:
    """All that the server was sent, put together, fits another update of the same sum as well."""
    round_ = Round(plants([Until.ALL, Until.ALL, Until.UPDATE, Until.SHARES, Until.ALL]))
    round_.run()
    revealed = {one: read(raw, Revealed) for one, raw in round_.seen["unmask"].items()}
    seeds = {owner for shares in revealed.values() for owner in shares.seeds}
    keys = {owner for shares in revealed.values() for owner in shares.keys}
    assert not seeds & keys
    assert keys == {32}, "of the one that went after it had dealt"
    # What is left of an update without its own mask is still under a mask with each that stayed.
    for one, other in itertools.permutations(seeds, 2):
        mask_key = round_.sessions[one].mask_key
        sent = b"".join(raw for step in round_.seen.values() for raw in step.values())
        assert mask_key not in sent
        assert round_.sessions[other].mask_key not in sent


def test_what_the_server_sees_beside_masked_words_does_not_depend_on_the_updates() -> None:
    """Same randomness, two sets of updates of one sum: all messages but the masked ones agree."""
    views = []
    for shift in (0.0, 0.125):
        counter = itertools.count()

        def entropy(size: int, counter: itertools.count[int] = counter) -> bytes:
            return np.random.default_rng(next(counter)).bytes(size)

        everyone = plants([Until.ALL] * 3)
        for plant, sign in zip(everyone.values(), (1, -1, 0), strict=True):
            plant.values = np.full(LENGTH, sign * shift, np.float32)
            plant.weight = 10
        round_ = Round(everyone)
        sessions, adverts = {}, {}
        for one, plant in everyone.items():
            sessions[one], adverts[one] = device.advertise(
                round_.invitation, one, plant.values, round_.limits, 10, entropy=entropy
            )
        rosters = round_.server.roster(adverts)
        deals = {}
        for one in everyone:
            sessions[one], deals[one] = device.deal(sessions[one], rosters[one], entropy)
        deliveries = round_.server.deliveries(deals)
        updates = {}
        for one in everyone:
            sessions[one], updates[one] = device.mask(sessions[one], deliveries[one])
        survivors = round_.server.survivors(updates)
        revealed = {one: device.unmask(sessions[one], survivors[one]) for one in everyone}
        mean = round_.server.mean(revealed).mean.tobytes()
        views.append(((adverts, deals, revealed, mean), updates))
    (rest, updates), (rest_again, updates_again) = views
    assert rest == rest_again
    first, _, unchanged = updates
    assert updates[first] != updates_again[first]
    assert updates[unchanged] == updates_again[unchanged]


def begun(
    count: int = 4,
) -> tuple[Round, dict[int, device.SecureSession], dict[int, SharesDelivery]]:
    """A round up to the delivery of parcels."""
    round_ = Round(plants([Until.ALL] * count))
    sessions, adverts = {}, {}
    for one, plant in round_.plants.items():
        sessions[one], adverts[one] = device.advertise(
            round_.invitation, one, plant.values, round_.limits, plant.weight
        )
    rosters = round_.server.roster(adverts)
    deals = {}
    for one in round_.plants:
        sessions[one], deals[one] = device.deal(sessions[one], rosters[one])
    return round_, sessions, round_.server.deliveries(deals)


def test_a_device_takes_each_step_once_and_reveals_one_secret_of_each_neighbour() -> None:
    _, sessions, deliveries = begun()
    me = min(sessions)
    session, _ = device.mask(sessions[me], deliveries[me])
    everyone, but_one = sorted(sessions), sorted(sessions)[:-1]
    given = device.unmask(session, Survivors(everyone))
    assert not given.keys
    partly = device.unmask(session, Survivors(but_one))
    assert not set(partly.seeds) & set(partly.keys)
    with pytest.raises(FederationError, match="out of turn"):
        device.unmask(sessions[me], Survivors(everyone))
    with pytest.raises(FederationError, match="out of turn"):
        device.mask(session, deliveries[me])


def test_a_device_reveals_nothing_where_too_few_are_said_to_be_left() -> None:
    _, sessions, deliveries = begun()
    me, other, third = sorted(sessions)[:3]
    session, _ = device.mask(sessions[me], deliveries[me])
    with pytest.raises(FederationError, match="2 of 3 devices sent an update: too few to hide"):
        device.unmask(session, Survivors([me, other]))
    with pytest.raises(FederationError, match="counts this device as gone"):
        device.unmask(session, Survivors([other, third]))
    with pytest.raises(FederationError, match="no neighbour"):
        device.unmask(session, Survivors([me, other, third, 999]))


def test_a_split_server_learns_one_secret_of_a_device_at_most() -> None:
    """It tells some that a device has stayed and the others that it has gone."""
    for holders in range(3, 60):
        assert 2 * threshold(holders) > holders


def test_a_changed_parcel_is_refused_and_costs_its_receiver_only() -> None:
    round_, sessions, deliveries = begun()
    victim, sender = sorted(sessions)[:2]
    parcel = bytearray(deliveries[victim].parcels[sender])
    parcel[5] ^= 1
    deliveries[victim].parcels[sender] = bytes(parcel)
    with pytest.raises(FederationError, match=f"parcel of device {sender} was changed"):
        device.mask(sessions[victim], deliveries[victim])
    rest = [one for one in sessions if one != victim]
    updates = {}
    for one in rest:
        sessions[one], updates[one] = device.mask(sessions[one], deliveries[one])
    survivors = round_.server.survivors(updates)
    revealed = {one: device.unmask(sessions[one], survivors[one]) for one in rest}
    assert np.array_equal(round_.server.mean(revealed).mean, round_.plain(tuple(sorted(rest)))[0])


def test_a_false_share_is_set_aside_by_name_and_the_others_suffice() -> None:
    def lie(given: Revealed) -> Revealed:
        return msgspec.structs.replace(given, seeds=dict.fromkeys(given.seeds, b"\1" * 33))

    everyone = plants([Until.ALL] * 4)
    liar = min(everyone)
    everyone[liar].revealing = lie
    round_ = Round(everyone)
    outcome = round_.run()
    assert np.array_equal(outcome.mean, round_.plain(outcome.devices)[0])
    assert "is not the one that was dealt" in round_.server.aside[liar]


def test_a_server_that_swaps_or_repeats_keys_is_refused() -> None:
    round_, *_ = begun()
    plant = next(iter(round_.plants.values()))
    session, advert = device.advertise(
        round_.invitation, 1, plant.values, round_.limits, plant.weight
    )
    with pytest.raises(FederationError, match="one key for two devices"):
        device.deal(session, Roster([1, 2, 3], {2: advert, 3: advert}))
    with pytest.raises(FederationError, match="lacks keys"):
        device.deal(session, Roster([1, 2, 3], {2: advert}))
    with pytest.raises(FederationError, match="twice"):
        device.deal(session, Roster([1, 2, 2], {2: advert}))
    with pytest.raises(FederationError, match="so few would give"):
        device.deal(session, Roster([1, 2], {2: advert}))


def test_two_devices_with_one_key_are_set_aside() -> None:
    round_, sessions, _ = begun(5)
    adverts = dict(round_.server._adverts)
    first, second, *_ = sorted(adverts)
    adverts[second] = adverts[first]
    again = Round(round_.plants)
    assert set(again.server.roster(adverts)) == set(sessions) - {first, second}
    assert "another device has sent" in again.server.aside[first]


def test_an_update_of_another_length_is_left_out_by_name() -> None:
    round_, sessions, deliveries = begun()
    odd = max(sessions)
    updates = {}
    for one in sessions:
        sessions[one], updates[one] = device.mask(sessions[one], deliveries[one])
    updates[odd] = Masked(updates[odd].words[:-3])
    survivors = round_.server.survivors(updates)
    assert odd not in survivors
    assert "bytes" in round_.server.aside[odd]
    revealed = {one: device.unmask(sessions[one], said) for one, said in survivors.items()}
    assert odd not in round_.server.mean(revealed).devices


def test_a_round_with_two_devices_is_refused_by_the_device() -> None:
    round_ = Round(plants([Until.ALL] * 2))
    with pytest.raises(FederationError, match="would give this one away"):
        round_.run()


@pytest.mark.parametrize("count", [6, 40])
def test_a_round_costs_a_device_at_most_twice_the_plain_sixteen_bits(count: int) -> None:
    length = 20_000
    round_ = Round(plants([Until.ALL] * count, length=length))
    round_.run()
    for one in round_.plants:
        sent = sum(len(step[one]) for step in round_.seen.values())
        assert sent <= 1.7 * 2 * length


@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\1" + bytes(31)])
def test_a_device_whose_key_is_none_costs_the_others_nothing(key: bytes) -> None:
    round_, sessions, _ = begun(4)
    adverts = dict(round_.server._adverts)
    odd = min(sessions)
    adverts[odd] = msgspec.structs.replace(adverts[odd], mask_key=key)
    again = Round(round_.plants)
    assert set(again.server.roster(adverts)) == set(sessions) - {odd}
    assert again.server.aside == {odd: "sent keys that are none"}


def test_a_deal_that_is_none_is_left_out_by_name() -> None:
    round_, sessions, _ = begun(5)
    first, second, third, *_ = sorted(sessions)
    deals = dict(round_.server._deals)
    round_.server._deals.clear()
    deals[first] = msgspec.structs.replace(deals[first], parcels={})
    long = dict.fromkeys(deals[second].parcels, bytes(1_000_000))
    deals[second] = msgspec.structs.replace(deals[second], parcels=long)
    deliveries = round_.server.deliveries(deals)
    assert first not in deliveries
    assert second not in deliveries
    assert {first, second}.isdisjoint(deliveries[third].parcels)
    assert round_.server.aside[second] == "dealt no shares to its neighbours"
