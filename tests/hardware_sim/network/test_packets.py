"""Finding single MQTT messages in a stream, however it was cut up."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.network.link import Acknowledgements
from hardware_sim.network.packets import (
    CONNECT,
    DUP,
    Framer,
    StreamPiece,
    is_puback,
    is_publish_qos_1,
)


def packet(first: int, body: bytes) -> bytes:
    """A packet with its fixed header."""
    length, encoded = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([first]) + bytes(encoded) + body


def publish(packet_id: int, topic: bytes = b"t", payload: bytes = b"") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\0" + payload
    return packet(0x32, body)


HELLO = packet(CONNECT, b"hello")
PACKETS = st.lists(
    st.one_of(
        st.builds(publish, st.integers(1, 65535), payload=st.binary(max_size=300)),
        st.builds(packet, st.sampled_from([0x30, 0x40, 0x82, 0xC0, 0xE0]), st.binary(max_size=200)),
    ),
    max_size=8,
)


def pieces(framer: Framer, stream: bytes, cuts: list[int]) -> list[StreamPiece]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [
        piece
        for start, end in itertools.pairwise(edges)
        for piece in framer.feed(stream[start:end])
    ]


def framer(wants: Callable[[int], bool]) -> Framer:
    return Framer(frozenset({CONNECT}), wants)


@given(sent=PACKETS, cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_messages_come_out_whole_and_no_byte_is_lost(sent: list[bytes], cuts: list[int]) -> None:
    found = framer(is_publish_qos_1)
    came = pieces(found, HELLO + b"".join(sent), cuts)
    assert b"".join(piece.data for piece in came) == HELLO + b"".join(sent)
    wanted = [one for one in sent if is_publish_qos_1(one[0])]
    assert [piece.data for piece in came if piece.whole] == wanted
    assert found.packets == 1 + len(sent)
    assert found.rest() == b""


@given(stream=st.binary(max_size=500), cuts=st.lists(st.integers(0, 500), max_size=10))
def test_what_is_no_mqtt_passes_at_once(stream: bytes, cuts: list[int]) -> None:
    found = Framer(frozenset(), is_publish_qos_1)
    assert b"".join(piece.data for piece in pieces(found, stream, cuts)) == stream
    assert found.packets == 0


@given(stream=st.binary(max_size=500), cuts=st.lists(st.integers(0, 500), max_size=10))
def test_nothing_is_held_back_where_nothing_was_asked_for(stream: bytes, cuts: list[int]) -> None:
    found = framer(lambda _: False)
    came = pieces(found, bytes([CONNECT]) + stream, cuts)
    assert b"".join(piece.data for piece in came) == bytes([CONNECT]) + stream


def test_a_broken_length_gives_up_and_passes_what_was_held() -> None:
    found = framer(is_publish_qos_1)
    stream = HELLO + b"\x32\xff\xff\xff\xff\xff rest"
    assert b"".join(piece.data for piece in found.feed(stream)) == stream
    assert found.opaque


@given(st.integers(1, 65535), st.binary(max_size=300), st.binary(max_size=300))
def test_a_message_knows_its_number_and_is_repeated_as_a_duplicate(
    number: int, topic: bytes, payload: bytes
) -> None:
    piece = StreamPiece(publish(number, topic, payload), whole=True, ends=True)
    assert piece.packet_id == number
    assert piece.repeated() == bytes([0x32 | DUP]) + piece.data[1:]
    answer = StreamPiece(packet(0x40, number.to_bytes(2, "big")), whole=True, ends=True)
    assert is_puback(answer.data[0])
    assert answer.packet_id == number
    assert StreamPiece(b"\x32\x00", whole=True, ends=True).packet_id is None


def test_of_two_acknowledgements_of_a_repetition_the_first_passes() -> None:
    known = Acknowledgements()
    assert not known.surplus(7)
    known.repeated(7)
    assert [known.surplus(7), known.surplus(7), known.surplus(7)] == [False, True, False]
    assert not known


def test_an_acknowledgement_that_never_came_swallows_none_of_a_later_message() -> None:
    known = Acknowledgements()
    known.repeated(7)
    assert not known.surplus(7)
    known.once(7)
    assert not known.surplus(7)
