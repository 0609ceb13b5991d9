"""How a bundle fares when its pictures are disturbed, as the bundle keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Self

import msgspec

from shared.bundles.manifest import Manifest
from shared.certification.certificate import interval
from shared.errors import BundleError
from shared.features.novelty import NOVELTY
from shared.format import percent

ROBUSTNESS = "robustness.json"
MOST_BYTES = 4 << 20
DELTA = 0.05
LONGEST_NAME = 200

Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Named = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]


class CountedParts(msgspec.Struct, frozen=True):
    """Parts that met a fate, of how many; low and high: 95 % interval of the true share.

    Exact (Clopper and Pearson 1934); 0 to 1 where there is no part.
    """

    wrong: Count
    parts: Count
    low: Share
    high: Share

    @classmethod
    def of(cls, wrong: int, parts: int) -> Self:
        return cls(wrong, parts, *(interval(wrong, parts, DELTA) if parts else (0.0, 1.0)))

    @property
    def rate(self) -> float:
        """0 where there is no part."""
        return self.wrong / self.parts if self.parts else 0.0


class Fate(msgspec.Struct, frozen=True):
    """What became of one set of pictures, undisturbed or not, by edge, gate and cloud together.

    escapes    defective parts of which a picture passes; overkill: good ones of which one is
               rejected; reviewed: any of which one goes to a person
    escalated  share of the pictures that are sent up; novel: that look like nothing the network
               was shown, None where nothing looks for them
    """

    escapes: CountedParts
    overkill: CountedParts
    reviewed: CountedParts
    escalated: Share
    novel: Share | None = None


class GroupFate(msgspec.Struct, frozen=True):
    """Of some of the pictures alone. by: `domain`, `line`, `lot` or `defect`, of which
    `name` is one."""

    by: Named
    name: Named
    fate: Fate


class Disturbance(msgspec.Struct, frozen=True):
    """One disturbance at one strength. strength: 1 to 3, the strongest; amount in `unit`."""

    kind: Named
    strength: Annotated[int, msgspec.Meta(ge=1, le=3)]
    amount: float
    unit: Named
    fate: Fate
    groups: list[GroupFate]

    @property
    def title(self) -> str:
        return f"{self.kind} {self.amount:g} {self.unit}"


class Answers(msgspec.Struct, frozen=True):
    """What is said of pictures; `score` is the median of the tail's own.

    novel   of those that are reviewed: would pass, were they not unlike anything seen
    """

    passed: Count
    reviewed: Count
    rejected: Count
    novel: Count
    score: Share


class Adversary(msgspec.Struct, frozen=True):
    """Defective pictures that are sent up, when each symbol sent may be off by one step.

    pictures   how many; steps: of projected gradient descent, and draws of chance
    changed    share of the symbols that the descent changed
    sent       as they are; chance: the worst of as many draws that change the same symbols up or
               down by chance
    worst      what the descent found, which stays known where novelty is looked for
    lowered    by how much the tail's score fell in the middle of the pictures; by_chance alike
    """

    pictures: Count
    steps: Count
    changed: Share
    sent: Answers
    chance: Answers
    worst: Answers
    lowered: float
    by_chance: float


class Robustness(msgspec.Struct, frozen=True, kw_only=True):
    """How edge, gate and cloud together fare on disturbed pictures of one split.

    judge       what decided: see `judge_of`
    seed        of every draw; data_hash: of the samples judged
    groups      undisturbed, by domain, line, lot and kind of defect, where there are several
    smaller     how many groups were left out since there are too many, by what they are: the ones
                with the fewest parts
    conditions  the worst first
    adversary   None where it was not asked for; conditions are empty likewise
    """

    judge: Annotated[str, msgspec.Meta(max_length=16)]
    measured: Named
    data: Named
    data_hash: Annotated[str, msgspec.Meta(max_length=64)]
    split: Named
    pictures: Count
    seed: Count
    clean: Fate
    groups: list[GroupFate]
    conditions: list[Disturbance]
    adversary: Adversary | None = None
    smaller: dict[str, Count] = {}

    def beside(self, before: Robustness) -> Robustness:
        """With what an earlier measurement of the same pictures found and this one left out."""
        return msgspec.structs.replace(
            self,
            conditions=self.conditions or before.conditions,
            adversary=self.adversary or before.adversary,
        )

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes, judge: str) -> Self | None:
        """None where another judge decided: another head, gate or cap fares otherwise.

        Raises BundleError where they can't be read.
        """
        try:
            if len(raw) > MOST_BYTES:
                raise msgspec.ValidationError(f"{len(raw):,} bytes, at most {MOST_BYTES:,}")
            found = msgspec.json.decode(raw, type=cls)
        except msgspec.DecodeError as error:
            raise BundleError(
                f"{ROBUSTNESS} can't be read ({error})",
                fix="fetch the bundle again, or measure anew with `splitsight cloud evaluate "
                "--robust`",
            ) from error
        return found if found.judge == judge else None


def judge_of(manifest: Manifest) -> str:
    """The id of what decides over a picture: pixels, models, gate, cap, novelty; 16 hex digits."""
    gate = manifest.gate.gate
    thresholds = (
        *(gate.pass_below, gate.reject_from, gate.cloud_pass_below, gate.cloud_reject_from),
        *(gate.tail_weight, gate.escalates),
    )
    novelty = manifest.files.get(NOVELTY)
    # Without what is as always: a setting that is new here changes no bundle that lacks it.
    seen_as = sorted(manifest.input.model_dump(mode="json", exclude_defaults=True).items())
    decides = (
        *(manifest.pair, thresholds, manifest.features.cap_bytes, seen_as),
        novelty and novelty.sha256,
    )
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def worst_first(conditions: Sequence[Disturbance]) -> list[Disturbance]:
    """By escapes, then by overkill, then by what a person must look at."""
    return sorted(
        conditions,
        key=lambda c: (-c.fate.escapes.rate, -c.fate.overkill.rate, -c.fate.reviewed.rate),
    )


def describe(found: Robustness | None) -> str:
    """A few sentences for people."""
    if found is None:
        return "not measured; see `splitsight cloud evaluate --robust`"
    told = []
    if found.conditions:
        clean = found.clean
        leaky = max(found.conditions, key=lambda c: c.fate.escapes.rate)
        harsh = max(found.conditions, key=lambda c: c.fate.overkill.rate)
        told.append(
            f"of {len(found.conditions)} disturbances the worst for escapes is {leaky.title}: "
            f"{counted(leaky.fate.escapes)} defective parts pass, {counted(clean.escapes)} "
            f"undisturbed; the worst for overkill {harsh.title}: {counted(harsh.fate.overkill)} "
            f"good parts are rejected, {counted(clean.overkill)} undisturbed"
        )
    if found.adversary is not None:
        one = found.adversary
        told.append(
            f"of {one.pictures} defective pictures sent up, {one.sent.passed} pass; "
            f"{one.worst.passed} when whoever alters what is sent moves symbols by a step each, "
            f"{one.chance.passed} when chance does"
        )
    return f"{'; '.join(told)}; on the {found.split} parts of {found.data}, {found.measured[:10]}"


def counted(found: CountedParts) -> str:
    """`3 of 125 (0.5–6.9 %)`."""
    if not found.parts:
        return "none of 0"
    low, high = percent(found.low).removesuffix(" %"), percent(found.high)
    return f"{found.wrong} of {found.parts} ({low}–{high})"
