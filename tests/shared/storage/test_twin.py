"""A record of two copies: no torn, swapped or lost write makes it say what was never written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UpdateError
from shared.storage.disks import SectorPair
from shared.storage.twin import SIZE, FilePair, Twin, pack, unpack
from tests.support.block_device import CrashedDevice, RecordingDevice

keys = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(lambda key: key != "sequence")
values = st.from_regex(r"[A-Za-z0-9_.:/+-]{0,12}", fullmatch=True)
fields = st.dictionaries(keys, values, max_size=8)


class MemoryPair:
    def __init__(self) -> None:
        self.copies = [b"", b""]

    def read(self, place: int) -> bytes:
        return self.copies[place]

    def write(self, place: int, raw: bytes) -> None:
        self.copies[place] = raw


@given(st.lists(fields, min_size=1, max_size=6))
def test_the_last_fields_hold(writes: list[dict[str, str]]) -> None:
    twin = Twin(MemoryPair())
    for number, written in enumerate(writes, start=1):
        twin.write(written)
        held = twin.read()
        assert held is not None
        assert (held.fields, held.sequence) == (written, number)


@given(fields, st.integers(1, 2**40), st.data())
def test_a_copy_with_any_byte_changed_is_no_copy(
    written: dict[str, str], sequence: int, data: st.DataObject
) -> None:
    raw = bytearray(pack(sequence, written))
    length = len(bytes(raw).rstrip(b"\n"))
    at = data.draw(st.integers(0, length - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert unpack(0, bytes(raw)) is None


@given(fields, fields, st.integers(0, SIZE))
def test_a_write_that_is_torn_leaves_the_one_before(
    old: dict[str, str], new: dict[str, str], kept: int
) -> None:
    pair = MemoryPair()
    twin = Twin(pair)
    twin.write(old)
    twin.write(new)
    newest = pack(3, {"a": "b"})
    pair.copies[0] = newest[:kept] + pair.copies[0][kept:]
    held = twin.read()
    assert held is not None
    assert held.fields in ({"a": "b"}, new, old)
    assert held.sequence in {2, 3}


@given(st.binary(max_size=SIZE))
def test_what_is_not_ours_is_no_copy(raw: bytes) -> None:
    assert unpack(0, raw) is None


@pytest.mark.parametrize(
    "wrong", [{"Live": "a"}, {"live": "a\nb"}, {"live": "a b"}, {"": "x"}, {"x": "y" * 600}]
)
def test_fields_that_a_boot_script_could_not_read_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UpdateError):
        pack(1, wrong)


def test_two_files_hold_a_record(tmp_path: Path) -> None:
    for number in range(5):
        Twin(FilePair(tmp_path, "record")).write({"number": str(number)})
    held = Twin(FilePair(tmp_path, "record")).read()
    assert held is not None
    assert held.fields == {"number": "4"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.0", "record.1"]


class CrashedDisk:
    """What a power cut left, to be read only."""

    def __init__(self, device: CrashedDevice) -> None:
        self._device = device
        self.size = device.size

    def read(self, offset: int, length: int) -> bytes:
        return self._device.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        raise AssertionError(f"{len(data)} B at {offset} are written after a power cut")

    def flush(self) -> None:
        raise AssertionError("nothing is written after a power cut")


def test_no_power_cut_takes_a_record_that_was_confirmed() -> None:
    device = RecordingDevice(4096, torn_at=(1, 100, 300, 511))
    twin = Twin(SectorPair(device, 0, (0, 2048)))
    for number in range(1, 9):
        twin.write({"live": "ab"[number % 2], "number": str(number)})
        assert device.confirm() == number
    states = 0
    for state in device.crash_states():
        states += 1
        held = Twin(SectorPair(CrashedDisk(state), 0, (0, 2048))).read()
        found = int(held.fields["number"]) if held else 0
        assert state.confirmed <= found <= state.confirmed + 1
    assert states >= 40
