"""Parcels over a channel that loses, repeats and reorders."""

from __future__ import annotations

import hashlib
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import ManualClock
from shared.errors import TransportError, WireError
from shared.federation.chunks import STEP, Assembly, count_of, piece
from shared.federation.parcels import MOST, Parcel, Parcels, Say
from shared.wire import RoundAsk, RoundPiece, encode

Said = tuple[RoundPiece | RoundAsk, bytes]


@given(st.binary(max_size=3000), st.integers(1, 700), st.randoms(use_true_random=False))
def test_pieces_in_any_order_make_the_whole(
    payload: bytes, step: int, chance: random.Random
) -> None:
    assembly = Assembly(len(payload), step, hashlib.sha256(payload).hexdigest(), most=len(payload))
    order = [*range(count_of(len(payload), step))] * 2
    chance.shuffle(order)
    new = sum(assembly.put(index, piece(payload, index, step)) for index in order)
    assert new == len(order) // 2
    assert assembly.is_whole
    assert assembly.whole() == payload


@given(st.binary(min_size=1, max_size=500), st.integers(1, 99), st.data())
def test_a_changed_piece_is_found(payload: bytes, step: int, data: st.DataObject) -> None:
    assembly = Assembly(len(payload), step, hashlib.sha256(payload).hexdigest(), most=500)
    spoilt = bytearray(payload)
    spoilt[data.draw(st.integers(0, len(payload) - 1))] ^= 1
    for index in range(count_of(len(payload), step)):
        assembly.put(index, piece(bytes(spoilt), index, step))
    with pytest.raises(WireError, match="sha256"):
        assembly.whole()


@pytest.mark.parametrize(("index", "body"), [(3, b"x"), (-1, b"x"), (0, b"short"), (1, b"toolong")])
def test_a_piece_of_something_else_is_refused(index: int, body: bytes) -> None:
    with pytest.raises(WireError, match="piece"):
        Assembly(13, 10, "", most=100).put(index, body)


@pytest.mark.parametrize(("size", "step"), [(101, 10), (-1, 10), (10, 0), (10, 1 << 20)])
def test_what_is_too_large_takes_no_memory(size: int, step: int) -> None:
    with pytest.raises(WireError, match="announced"):
        Assembly(size, step, "", most=100)


class Channel:
    """Two sides and what is on its way between them."""

    def __init__(self, seed: int = 0, *, lost: float = 0.0, twice: float = 0.0) -> None:
        self.clock = ManualClock()
        self.chance = random.Random(seed)  # noqa: S311 - a test's chance
        self.lost, self.twice = lost, twice
        self.down = False
        self.most_bytes = 1 << 20
        self.on_the_way: list[tuple[Parcels, Said]] = []
        self.came: list[Parcel] = []
        self.most_pieces = 0
        self.left: Parcels = Parcels(
            self._to("right"), self.clock, frozenset({"answer"}), lambda: self.most_bytes
        )
        self.right: Parcels = Parcels(
            self._to("left"), self.clock, frozenset({"order", "base"}), lambda: self.most_bytes
        )

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            for _ in range(50):
                if not self._move():
                    break
            self.clock.advance(0.1)
            self.left.tick()
            self.right.tick()

    def _move(self) -> bool:
        if not self.on_the_way:
            return False
        self.most_pieces = max(self.most_pieces, sum(bool(said[1]) for _, said in self.on_the_way))
        side, (message, body) = self.on_the_way.pop(self.chance.randrange(len(self.on_the_way)))
        if isinstance(message, RoundAsk):
            side.ask(message)
        elif (parcel := side.part(message, body)) is not None:
            self.came.append(parcel)
        return True

    def _to(self, side: str) -> Say:
        def say(message: RoundPiece | RoundAsk, body: bytes = b"") -> None:
            if self.down:
                raise TransportError("the line is down")
            if len(encode(message, body)) > self.most_bytes:
                raise TransportError("the broker takes no message so large")
            for _ in range(1 + (self.chance.random() < self.twice)):
                if self.chance.random() >= self.lost:
                    self.on_the_way.append((getattr(self, side), (message, body)))

        return say

    def parcel(self, payload: bytes, *, seconds: float = 600.0) -> Parcel:
        until = self.clock.monotonic() + seconds
        return Parcel("p1", "order", payload, until, session="s", base="b")


@given(st.integers(0, 10**6), st.integers(0, 9), st.sampled_from([0.0, 0.1, 0.4]))
def test_a_parcel_arrives_once_over_a_bad_line(seed: int, pieces: int, lost: float) -> None:
    channel = Channel(seed, lost=lost, twice=0.2)
    payload = channel.chance.randbytes(pieces * STEP + 17)
    channel.left.offer(channel.parcel(payload))
    channel.run(500)
    assert [parcel.payload for parcel in channel.came] == [payload]
    assert (channel.came[0].session, channel.came[0].base) == ("s", "b")
    assert channel.left.is_idle
    assert channel.right.is_idle


@pytest.mark.parametrize("most_bytes", [2500, 8000, 65_536, 1 << 20])
def test_pieces_are_cut_to_what_the_broker_takes(most_bytes: int) -> None:
    channel = Channel()
    channel.most_bytes = most_bytes
    payload = channel.chance.randbytes(100_000)
    channel.left.offer(channel.parcel(payload))
    channel.run(200)
    assert [parcel.payload for parcel in channel.came] == [payload]


def test_a_broker_that_turns_out_to_take_less_gets_smaller_pieces() -> None:
    channel = Channel()
    payload = channel.chance.randbytes(100_000)
    channel.down = True
    channel.left.offer(channel.parcel(payload))
    name = hashlib.sha256(payload).hexdigest()
    held = Parcel(name, "base", payload, float("inf"))
    channel.left.hold(held)
    channel.down, channel.most_bytes = False, 8000
    channel.right.want(name, channel.clock.monotonic() + 600)
    channel.run(200)
    assert sorted(parcel.id for parcel in channel.came) == sorted([name, "p1"])


def test_no_more_than_a_few_pieces_are_on_their_way() -> None:
    channel = Channel()
    channel.left.offer(channel.parcel(bytes(40 * STEP)))
    channel.run(20)
    assert len(channel.came) == 1
    assert channel.most_pieces <= 5


def test_on_a_good_line_nothing_is_sent_twice() -> None:
    channel = Channel()
    payload = bytes(40 * STEP + 5)
    channel.left.offer(channel.parcel(payload))
    channel.run(20)
    assert channel.left.bytes_out == channel.right.bytes_in == len(payload)


def test_what_the_other_side_holds_is_sent_when_asked_for() -> None:
    channel = Channel()
    payload = bytes(3 * STEP)
    name = hashlib.sha256(payload).hexdigest()
    channel.left.hold(Parcel(name, "base", payload, float("inf")))
    channel.run(5)
    assert not channel.came
    for _ in range(2):
        channel.right.want(name, channel.clock.monotonic() + 60)
        channel.run(5)
    assert [parcel.id for parcel in channel.came] == [name, name]


def test_after_a_cut_the_parcel_goes_on_where_it_was() -> None:
    channel = Channel()
    payload = bytes(9 * STEP)
    channel.left.offer(channel.parcel(payload))
    for _ in range(6):
        channel._move()
    channel.on_the_way.clear()
    channel.down = True
    channel.run(30)
    channel.down = False
    channel.left.hurry()
    channel.right.hurry()
    channel.run(1)
    assert [parcel.payload for parcel in channel.came] == [payload]
    assert channel.left.bytes_out < len(payload) + 6 * STEP


def test_what_nobody_wants_any_more_is_let_go_on_both_sides() -> None:
    channel = Channel()
    channel.left.offer(channel.parcel(bytes(9 * STEP), seconds=20))
    for _ in range(3):
        channel._move()
    channel.on_the_way.clear()
    channel.down = True
    channel.run(21)
    assert channel.left.is_idle
    assert channel.right.is_idle


def test_an_unwanted_kind_and_a_giant_are_refused_by_name() -> None:
    channel = Channel()
    giant = RoundPiece("g", "order", 0, STEP, MOST["order"] + 1, "x")
    assert channel.right.part(giant, bytes(STEP)) is None
    answer = RoundPiece("a", "answer", 0, STEP, 3, "x")
    assert channel.right.part(answer, b"abc") is None
    refusals = [said[0].refused for _, said in channel.on_the_way if isinstance(said[0], RoundAsk)]
    assert "at most" in refusals[0] or "announced" in refusals[0]
    assert refusals[1] == "no answer is taken here"
    assert channel.right.is_idle


@pytest.mark.parametrize("step", [1, 7, 700])
def test_a_small_step_makes_no_list_of_millions(step: int) -> None:
    with pytest.raises(WireError, match="announced"):
        Assembly(48 << 20, step, "", most=48 << 20)


def test_an_announcement_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        assemblies = [Assembly(200 << 20, STEP, "", most=200 << 20) for _ in range(8)]
        assert all(next(one.lacking()) == 0 for one in assemblies)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20
