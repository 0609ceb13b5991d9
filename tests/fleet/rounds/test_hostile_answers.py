"""Whatever one device answers costs that device alone, and is told by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st

from fleet.rounds.aggregation.plain_aggregation import refusal_of
from fleet.rounds.aggregation.secure_mean import SecureRound
from fleet.rounds.aggregation.updates import MOST_EXAMPLES, read_update
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from shared.errors import FederationError, WireError
from shared.federation.base_network import BaseNetwork
from shared.federation.flower_private import message_from_bytes, message_to_bytes
from shared.federation.protocol import (
    ARRAYS,
    CHANGE,
    CONFIG,
    COUNTS,
    EXAMPLES,
    LAYOUT,
    LOSS,
    METRICS,
    ROUND,
    LabelCounts,
    Refusal,
    TrainOrder,
    VectorLayout,
)
from shared.federation.questions import Comparison, Question
from shared.federation.secure_aggregation import (
    Advert,
    Deal,
    Invitation,
    Masked,
    Revealed,
    read,
    written,
)
from tests.fleet.rounds.tiny import tiny_apps, tiny_base

pytestmark = pytest.mark.torch

LAYOUT_ = VectorLayout({"weight": (8,)})
GOOD = np.arange(8, dtype=np.float16)


def header(text: str) -> bytes:
    raw = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw


UNREADABLE = {
    "nothing": b"",
    "words": b"these are no numbers",
    "a header that is no literal": header("{'descr': '<f2', 'fortran_order': False, 'shape': ("),
    "a header of brackets": header("(" * 100),
    "a header of signs": header("-" * 9000 + "1"),
    "a header with a tab": header("\t\t x\n  y"),
    "terabytes": header("{'descr': '<f2', 'fortran_order': False, 'shape': (1099511627776,), }\n"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (8,), }\n") + bytes(64),
    "another version": b"\x93NUMPY\x07\x00",
}


def answered(
    data: bytes, stype: str = "numpy.ndarray", examples: int = 12, loss: float = 0.5
) -> RecordDict:
    array = Array(dtype="float16", shape=(8,), stype=stype, data=data)
    return RecordDict(
        {
            ARRAYS: ArrayRecord({CHANGE: array}),
            METRICS: MetricRecord({EXAMPLES: examples, LOSS: loss}),
            CONFIG: ConfigRecord({LAYOUT: LAYOUT_.sha256, ROUND: 4}),
        }
    )


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_an_update_that_can_t_be_unpacked_is_refused(data: bytes) -> None:
    with pytest.raises(FederationError, match="can't be unpacked"):
        read_update(answered(data), LAYOUT_, 4)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_update_or_refused(data: bytes) -> None:
    for content in (data, Array(GOOD).data[:70] + data):
        with suppress(FederationError):
            read_update(answered(content), LAYOUT_, 4)


def test_numbers_packed_another_way_are_refused() -> None:
    with pytest.raises(FederationError, match="packed as 'pickle'"):
        read_update(answered(Array(GOOD).data, "pickle"), LAYOUT_, 4)


@pytest.mark.parametrize("examples", [2**62, MOST_EXAMPLES + 1, 0, -1])
def test_a_device_can_t_claim_to_outweigh_all_others(examples: int) -> None:
    content = answered(Array(GOOD).data, examples=examples)
    with pytest.raises(FederationError, match=f"learned from {examples} pictures"):
        read_update(content, LAYOUT_, 4)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_loss_that_is_none_is_refused(loss: float) -> None:
    with pytest.raises(FederationError, match="its loss is no number"):
        read_update(answered(Array(GOOD).data, loss=loss), LAYOUT_, 4)


def test_a_reason_is_cut() -> None:
    assert len(refusal_of(1005, "x" * 100_000)) < 400
    assert len(refusal_of(7, "x" * 100_000)) == 300
    assert refusal_of(7, " ") == "error 7"


def spoiled(app: ClientApp, spoil: Callable[[Message], RecordDict | None]) -> ClientApp:
    """A device that trains as it should and answers with something else."""
    made = ClientApp()

    def through(message: Message, context: Context) -> Message:
        other = spoil(message)
        return app(message, context) if other is None else Message(other, reply_to=message)

    made.train()(through)
    made.query()(through)
    made.evaluate()(through)
    return made


def of_training(content: RecordDict) -> Callable[[Message], RecordDict | None]:
    return lambda message: content if message.metadata.message_type == "train" else None


def of_query(counts: bytes) -> Callable[[Message], RecordDict | None]:
    content = RecordDict({CONFIG: ConfigRecord({COUNTS: counts})})
    return lambda message: content if message.metadata.message_type == "query" else None


def coordinator(folder: Path, spoil: Callable[[Message], RecordDict | None]) -> Coordinator:
    base = tiny_base(folder)
    apps = tiny_apps(3, base, folder)
    apps["d02"] = spoiled(apps["d02"], spoil)
    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        local=LocalSettings(versions=1),
        deadline_s=60.0,
        privacy=PrivacySettings(secure_aggregation=False),
    )
    return Coordinator(InProcessGrid(apps), settings, RunPlan(1), BaseNetwork.read(base))


@pytest.mark.parametrize("data", list(UNREADABLE.values())[:5])
def test_one_unreadable_update_ends_neither_the_round_nor_the_run(
    tmp_path: Path, data: bytes
) -> None:
    run = coordinator(tmp_path, of_training(RecordDict()))
    size = run.layout.size
    array = Array(dtype="float16", shape=(size,), stype="numpy.ndarray", data=data)
    config = ConfigRecord({LAYOUT: run.layout.sha256, ROUND: 1})
    metrics = MetricRecord({EXAMPLES: 3, LOSS: 0.1})
    bad = RecordDict({ARRAYS: ArrayRecord({CHANGE: array}), METRICS: metrics, CONFIG: config})
    run = coordinator(tmp_path, of_training(bad))
    record = run.step()
    assert record.outcome == "finished"
    assert [one.device for one in record.took_part] == ["d00", "d01"]
    assert [(one.device, "unpacked" in one.reason) for one in record.aside] == [("d02", True)]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (LabelCounts("d00", "", {"all": 5}, {"all": 5}, 3), "in the name of d00"),
        (LabelCounts("../c", "", {"all": 5}, {"all": 5}, 3), "name it '../c'"),
        (LabelCounts("d02", "", {"all": 2**62}, {"all": 5}, 3), "are no counts"),
        (LabelCounts("d02", "", {"all": -5}, {"all": 5}, 3), "are no counts"),
        (b"\xff", "can't be read"),
    ],
)
def test_counts_that_lie_cost_their_device_alone(
    tmp_path: Path, counts: LabelCounts | bytes, said: str
) -> None:
    raw = counts if isinstance(counts, bytes) else counts.encode()
    found = coordinator(tmp_path, of_query(raw)).possible_participants()
    taking = [(one.device, one.takes_part) for one in found]
    assert taking == [("d00", True), ("d01", True), ("d02", False)]
    assert said in found[2].reason


# Anything at all

KINDS: list[tuple[Callable[[object], object], bytes]] = [
    (LabelCounts.decode, LabelCounts("d02", "", {"all": 5}, {}, 3).encode()),
    (Refusal.decode, Refusal(1001, "no").encode()),  # type: ignore[list-item]
    (TrainOrder.decode, TrainOrder("r", "b", "l").encode()),
    (Question.decode, Question("tally", "test").encode()),
    (Comparison.decode, b'{"good":1,"defective":1,"pictures":1}'),
]


@given(st.sampled_from(KINDS), st.binary(max_size=60), st.integers(0, 80), st.integers(0, 4))
def test_any_bytes_are_a_message_of_rounds_or_refused(
    kind: tuple[Callable[[object], object], bytes], noise: bytes, place: int, cut: int
) -> None:
    decode, good = kind
    for raw in (noise, good[:place] + noise + good[place + cut :]):
        with suppress(WireError):
            decode(raw)


@given(st.binary(max_size=120), st.integers(0, 400))
def test_any_bytes_are_a_message_of_flower_s_or_refused(noise: bytes, place: int) -> None:
    good = message_to_bytes(Message(answered(Array(GOOD).data), 1, "train"))
    for raw in (noise, good[:place] + noise + good[place + len(noise) :]):
        with suppress(ValueError):
            message = message_from_bytes(raw)
            if not message.has_error():
                with suppress(FederationError):
                    read_update(message.content, LAYOUT_, 4)


SMALL = st.integers(-1, 6)
WORDS = st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32))


@given(
    adverts=st.dictionaries(SMALL, st.builds(Advert, WORDS, WORDS, WORDS), max_size=6),
    deals=st.dictionaries(
        SMALL,
        st.builds(
            Deal,
            st.dictionaries(SMALL, WORDS, max_size=5),
            st.dictionaries(SMALL, st.tuples(WORDS, WORDS), max_size=5),
        ),
        max_size=6,
    ),
    updates=st.dictionaries(SMALL, st.builds(Masked, WORDS), max_size=6),
    revealed=st.dictionaries(
        SMALL,
        st.builds(
            Revealed,
            st.dictionaries(SMALL, WORDS, max_size=5),
            st.dictionaries(SMALL, WORDS, max_size=5),
        ),
        max_size=6,
    ),
)
def test_any_answers_to_a_secure_sum_are_summed_or_refused(
    adverts: dict[int, Advert],
    deals: dict[int, Deal],
    updates: dict[int, Masked],
    revealed: dict[int, Revealed],
) -> None:
    invitation = Invitation(bytes(32), 6, 4, 1.0, 0.1, 0.1)
    gathering = SecureRound(invitation, invitation.limits(np.zeros(3, np.float32)))
    with suppress(FederationError):
        gathering.roster(adverts)
        gathering.deliveries(deals)
        gathering.survivors(updates)
        gathering.mean(revealed)


@given(st.sampled_from([Advert, Deal, Masked, Revealed]), st.binary(max_size=80))
def test_any_bytes_are_a_step_of_a_secure_sum_or_refused(
    kind: type[msgspec.Struct], noise: bytes
) -> None:
    good = written(Deal({1: b"x"}, {1: (b"y", b"z")}))
    for raw in (noise, good[: len(noise)] + noise):
        with suppress(FederationError):
            read(raw, kind)
