"""The boot script in sh decides as `shared.storage.slots` and `shared.storage.twin` do."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet.flash.debian import FILES
from shared.errors import UpdateError
from shared.storage.disks import RECORD_BYTES, RECORD_PLACES, SECTOR
from shared.storage.slots import SLOTS, SlotRecord
from shared.storage.twin import Twin, pack, unpack
from tests.fleet.flash.conftest import require_tools

pytestmark = pytest.mark.process

SCRIPT = FILES / "splitsight-slot"
SHELLS = [["busybox", "sh"], ["sh"]]

records = st.builds(
    SlotRecord, st.sampled_from(SLOTS), st.sampled_from([None, *SLOTS]), st.integers(0, 12)
)
sequences = st.integers(1, 1 << 40)


def packed(sequence: int, record: SlotRecord) -> bytes:
    return pack(sequence, record.to_fields())


whole = st.builds(packed, sequences, records)
torn = st.builds(
    lambda before, after, at: after[:at] + before[at:],
    whole | st.just(bytes(SECTOR)),
    whole,
    st.integers(1, SECTOR - 1),
)
flipped = st.builds(
    lambda raw, at, value: raw[:at] + bytes([value]) + raw[at + 1 :],
    whole,
    st.integers(0, SECTOR - 1),
    st.integers(0, 255),
)
other_things = st.sampled_from([bytes(SECTOR), b"\xff" * SECTOR, b"\n" * SECTOR])
copies = st.one_of(whole, torn, flipped, other_things)


@dataclass
class Raw:
    """A record's partition as a file; a `shared.storage.twin.TwinCopies`."""

    path: Path

    def fill(self, first: bytes, second: bytes) -> None:
        with self.path.open("wb") as stream:
            stream.truncate(RECORD_BYTES)
            for place, raw in zip(RECORD_PLACES, (first, second), strict=True):
                stream.seek(place)
                stream.write(raw)

    def read(self, place: int) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(RECORD_PLACES[place])
            return stream.read(SECTOR)

    def write(self, place: int, raw: bytes) -> None:
        with self.path.open("r+b") as stream:
            stream.seek(RECORD_PLACES[place])
            stream.write(raw)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    return Raw(tmp_path_factory.mktemp("record") / "record.img")


@pytest.fixture(scope="module", params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    require_tools(words[0])
    return words


def run(shell: list[str], raw: Raw) -> str | None:
    """The slot that the script names; None where it refuses."""
    done = subprocess.run(
        [*shell, str(SCRIPT), str(raw.path)], capture_output=True, check=False, timeout=20
    )
    return done.stdout.decode().strip() if done.returncode == 0 else None


def decide(raw: Raw) -> str | None:
    """The same by the rules of shared; writes what the rules say."""
    twin = Twin(raw)
    copy = twin.read()
    if copy is None:
        return None
    try:
        record = SlotRecord.from_fields(copy.fields)
    except UpdateError:
        return None
    slot, after = record.booted()
    if after != record:
        twin.write(after.to_fields())
    return slot


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(copies, copies)
@example(packed(1, SlotRecord()), bytes(SECTOR))
@example(packed(9, SlotRecord("a", "b", 1)), packed(10, SlotRecord("a", "b", 0)))
@example(packed(10, SlotRecord("b", "a", 3)), packed(9, SlotRecord("b")))
def test_the_script_boots_and_writes_what_the_rules_say(
    shell: list[str], raw: Raw, first: bytes, second: bytes
) -> None:
    raw.fill(first, second)
    wanted = decide(raw)
    left = [raw.read(place) for place in (0, 1)]
    raw.fill(first, second)
    assert run(shell, raw) == wanted
    assert [raw.read(place) for place in (0, 1)] == left


def test_a_trial_that_never_answers_ends_at_the_live_slot(shell: list[str], raw: Raw) -> None:
    raw.fill(packed(4, SlotRecord("a", "b", 2)), bytes(SECTOR))
    assert [run(shell, raw) for _ in range(4)] == ["b", "b", "a", "a"]
    copy = Twin(raw).read()
    assert copy is not None
    assert SlotRecord.from_fields(copy.fields) == SlotRecord("a")


def test_the_copy_that_holds_is_never_overwritten(shell: list[str], raw: Raw) -> None:
    first = packed(7, SlotRecord("b", "a", 1))
    raw.fill(bytes(SECTOR), first)
    assert run(shell, raw) == "a"
    assert raw.read(1) == first
    assert unpack(0, raw.read(0)) is not None


@pytest.mark.parametrize("fields", [{"live": "c", "trial": "none", "tries": "0"}, {"live": "a"}])
def test_a_record_that_names_no_slot_boots_nothing(
    shell: list[str], raw: Raw, fields: dict[str, str]
) -> None:
    raw.fill(pack(1, fields), bytes(SECTOR))
    assert run(shell, raw) is None
