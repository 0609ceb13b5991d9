"""The states that a power cut can leave on a block device."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from tests.support.block_device import RecordingDevice
from tests.support.crash_states import Coverage, Effort

SECTOR = 4
SIZE = 8 * SECTOR
WRITES = st.lists(
    st.one_of(
        st.none(),
        st.tuples(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=10), st.booleans()),
    ),
    max_size=5,
)


EVERY = Effort(exhaustive=1 << 16)


def images(device: RecordingDevice) -> list[bytes]:
    return [state.read(0, SIZE) for state in device.crash_states(EVERY)]


def play(device: RecordingDevice, steps: list[tuple[int, bytes, bool] | None]) -> None:
    for step in steps:
        if step is None:
            device.flush()
        else:
            offset, data, fua = step
            device.write(offset, data[: SIZE - offset], fua=fua)


@given(WRITES)
def test_what_was_flushed_is_there_in_every_later_state(
    steps: list[tuple[int, bytes, bool] | None],
) -> None:
    device = RecordingDevice(SIZE, sector=SECTOR)
    play(device, steps)
    device.flush()
    device.confirm()
    written = device.read(0, SIZE)
    states = list(device.crash_states(EVERY))
    assert {state.read(0, SIZE) for state in states if state.confirmed} == {written}
    assert len({(state.confirmed, state.read(0, SIZE)) for state in states}) <= len(states)


@given(WRITES)
def test_states_are_all_subsets_of_the_sectors_since_the_last_flush(
    steps: list[tuple[int, bytes, bool] | None],
) -> None:
    """Against an independent list: every order of single sectors, cut at every point."""
    device = RecordingDevice(SIZE, sector=SECTOR)
    play(device, steps)
    assert set(images(device)) == by_brute_force(steps)


def by_brute_force(steps: list[tuple[int, bytes, bool] | None]) -> set[bytes]:
    reachable = {bytes(SIZE)}
    current, found = bytearray(SIZE), set(reachable)
    pending: dict[int, list[bytes]] = {}
    durable = bytearray(SIZE)

    def combine() -> None:
        options = [
            [(at, durable[at : at + SECTOR]), *((at, value) for value in values)]
            for at, values in pending.items()
        ]
        for chosen in itertools.product(*options):
            image = bytearray(durable)
            for at, value in chosen:
                image[at : at + SECTOR] = value
            found.add(bytes(image))

    for step in steps:
        if step is None:
            durable[:] = current
            pending.clear()
        else:
            offset, data, fua = step
            data = data[: SIZE - offset]
            current[offset : offset + len(data)] = data
            touched = range(offset // SECTOR * SECTOR, offset + len(data), SECTOR)
            for at in touched:
                pending.setdefault(at, []).append(bytes(current[at : at + SECTOR]))
            combine()
            if fua:
                for at in touched:
                    durable[at : at + SECTOR] = current[at : at + SECTOR]
                    del pending[at]
        combine()
    return found


def test_two_sectors_without_a_flush_can_be_lost_one_by_one_and_both() -> None:
    device = RecordingDevice(SIZE, sector=SECTOR, initial=b"old.old.")
    device.write(0, b"new.new.")
    coverage = Coverage()
    found = {state.read(0, 8) for state in device.crash_states(coverage=coverage)}
    assert found == {b"old.old.", b"new.old.", b"old.new.", b"new.new."}
    assert (coverage.possible, coverage.tried, coverage.sampled) == (4, 4, 0)


def test_a_flush_orders_two_writes() -> None:
    device = RecordingDevice(SIZE, sector=SECTOR)
    device.write(0, b"data")
    device.flush()
    device.write(4, b"name")
    assert b"\0\0\0\0name" not in {state.read(0, 8) for state in device.crash_states()}


def test_a_write_to_the_disk_itself_is_safe_and_flushes_nothing_else() -> None:
    device = RecordingDevice(SIZE, sector=SECTOR)
    device.write(0, b"data")
    device.write(4, b"name", fua=True)
    device.confirm()
    after = {state.read(0, 8) for state in device.crash_states() if state.confirmed}
    assert after == {b"dataname", b"\0\0\0\0name"}


def test_sectors_are_torn_inside_only_where_that_is_asked_for() -> None:
    whole = RecordingDevice(SIZE, sector=SECTOR, initial=b"1234")
    torn = RecordingDevice(SIZE, sector=SECTOR, initial=b"1234", torn_at=(1,))
    for device in (whole, torn):
        device.write(0, b"abcd")
    assert {image[:4] for image in images(whole)} == {b"1234", b"abcd"}
    assert {image[:4] for image in images(torn)} == {b"1234", b"abcd", b"a234", b"1bcd"}


def test_a_large_interval_is_sampled_with_the_extremes_and_repeatably() -> None:
    def run(seed: int) -> tuple[list[bytes], Coverage]:
        device = RecordingDevice(200 * SECTOR, sector=SECTOR)
        device.write(0, b"x" * 200 * SECTOR)
        coverage = Coverage()
        effort = Effort(exhaustive=10, samples=50, seed=seed)
        states = device.crash_states(effort, coverage)
        return [state.read(0, device.size) for state in states], coverage

    found, coverage = run(1)
    assert bytes(200 * SECTOR) in found
    assert b"x" * 200 * SECTOR in found
    assert len(set(found)) == len(found) == coverage.tried
    assert 30 < coverage.tried <= 50
    assert coverage.possible == 2**200
    assert coverage.sampled == 1
    assert run(1)[0] == found
    assert run(2)[0] != found


def test_a_crashed_device_can_be_written_to_again() -> None:
    device = RecordingDevice(SIZE, sector=SECTOR)
    device.write(0, b"lost")
    (first, *_) = device.crash_states()
    again = first.restored()
    assert again.read(0, 4) == b"\0\0\0\0"
    again.write(0, b"here")
    again.flush()
    again.confirm()
    assert {s.read(0, 4) for s in again.crash_states() if s.confirmed} == {b"here"}
    assert first.read(SIZE - 2, 10) == b"\0\0"


MISTAKES = [
    (lambda: RecordingDevice(100), "can't have sectors of 512 B"),
    (lambda: RecordingDevice(512, initial=bytes(513)), "don't fit"),
    (lambda: RecordingDevice(512, torn_at=(512,)), "can't be torn at byte 512"),
    (lambda: RecordingDevice(512).write(510, b"xxx"), "bytes 510 to 513 don't lie"),
    (lambda: RecordingDevice(512).read(-1, 1), "bytes -1 to 0 don't lie"),
    (lambda: Effort(samples=0), "can't be tried"),
]


@pytest.mark.parametrize(("make", "said"), MISTAKES)
def test_what_no_disk_can_do_is_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(SettingsError, match=said):
        make()
