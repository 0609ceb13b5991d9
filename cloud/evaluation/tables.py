"""An evaluation in words: the same tables for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cloud.evaluation.groups import Caught, Group, Size
from cloud.evaluation.rates import LOSS, Match, PictureRates, Point, Rates
from cloud.evaluation.scorecard import AtOverkill, Evaluation, JudgeScore, ReviewRates
from cloud.statistics.intervals import Interval, PartRate
from shared.format import NONE, decimal, number, percent

HOW_TO_COMPARE = (
    "JPEG and WebP of the same pictures are left out: give the cloud model on pixels with "
    "--pixels RUN/pixels.onnx, which `splitsight cloud train` writes into its run folder."
)

_SIZES: dict[Size, str] = {"any": "", "larger": " >\u00a01\u00a0%", "smaller": " ≤\u00a01\u00a0%"}


class Words(NamedTuple):
    """Rows of equal keys, the first of which names the row; `note` says how to read it."""

    title: str
    note: str
    rows: list[dict[str, str]]


def headline(e: Evaluation) -> str:
    """What was judged, in a sentence."""
    told = (
        f"The {e.split} parts of {e.data}: {e.n_images:,} pictures of {e.n_parts:,} parts, of "
        f"which {e.n_defects:,} pictures of {e.n_defective_parts:,} parts are defective."
    )
    if e.novel_share is not None:
        told += f" {percent(e.novel_share)} of them look like nothing that the network was shown."
    if e.seen:
        told += f" The bundle was trained on {e.seen:,} of the pictures: this is no proof."
    return told


def tiles(e: Evaluation) -> list[tuple[str, str, str]]:
    """The figures to see first: a name, the figure, and what is beside it."""
    s = e.system
    return [
        ("escapes, pictures", percent(s.escape_rate), f"parts: {parts(s.escapes)}"),
        ("overkill, pictures", percent(s.overkill_rate), f"parts: {parts(s.overkill)}"),
        ("to review, parts", percent(e.review_share.with_cloud), _beside(e.review_share)),
        ("escalated", percent(s.escalation_rate), "of all pictures"),
        (
            "bytes an escalation",
            number(s.bytes_per_escalation_p50),
            f"JPEG {e.jpeg.quality}: {number(e.jpeg.bytes_p50)}",
        ),
        ("AUROC of the cloud", decimal(e.cloud.auroc), f"edge: {decimal(e.edge.auroc)}"),
    ]


def _beside(found: ReviewRates) -> str:
    low, high = percent(found.interval.low), percent(found.interval.high)
    alone = "" if found.without_cloud is None else f"; edge alone: {percent(found.without_cloud)}"
    return f"{low} to {high}{alone}"


def side_by_side(e: Evaluation) -> Words:
    judges: tuple[JudgeScore, ...] = (e.edge, e.cloud, e.system)

    def row(name: str, cells: Sequence[str]) -> dict[str, str]:
        return dict(zip(("", "edge", "cloud", "system"), (name, *cells), strict=True))

    rows = [
        row("AUROC", [area(j.auroc, j.auroc_interval) for j in judges]),
        row("average precision", [decimal(j.average_precision) for j in judges]),
        row("accuracy", [percent(j.accuracy) for j in judges]),
        row("escapes, parts", [parts(j.escapes) for j in judges]),
        row("escapes, pictures", [percent(j.escape_rate) for j in judges]),
        row("overkill, parts", [parts(j.overkill) for j in judges]),
        row("overkill, pictures", [percent(j.overkill_rate) for j in judges]),
        row("escapes at ≤ 5 % overkill, parts", [_moved_parts(j.at_overkill) for j in judges]),
        row("escapes at ≤ 5 % overkill, pictures", [_moved(j.at_overkill) for j in judges]),
    ]
    if e.edge.pixels is not None or e.cloud.pixels is not None:
        found = [judge.pixels for judge in judges]
        rows.append(row("pixel AUROC", [decimal(p.pixel_auroc if p else None) for p in found]))
        rows.append(row("PRO, up to 30 % false", [decimal(p.pro if p else None) for p in found]))
    return Words(
        "Edge, cloud, and both together",
        "In brackets: 95 % intervals by part. A part errs where any of its pictures does. The "
        "edge's escapes and overkill are what its gate passes and rejects by itself; the cloud's "
        "are as if every picture were sent. “At ≤ 5 % overkill”: a threshold read off on this "
        "very split; for the system the gate stays and the cloud's threshold moves.",
        rows,
    )


def traffic(e: Evaluation) -> Words:
    s = e.system
    review, among = e.review_share, e.escalated
    rows = [
        ("parts to review", f"{percent(review.with_cloud)} ({_beside(review)})"),
        ("AUROC among what the edge is not sure of: edge", decimal(among.auroc_edge)),
        ("AUROC among the same: edge and cloud", decimal(among.auroc_system)),
        ("escalated", percent(s.escalation_rate)),
        ("bytes an escalation, median", number(s.bytes_per_escalation_p50)),
        ("bytes an escalation, 95th percentile", number(s.bytes_per_escalation_p95)),
        ("bytes a picture, escalated or not", number(s.bytes_per_part)),
        (f"the picture as JPEG of quality {e.jpeg.quality}", number(e.jpeg.bytes_p50)),
    ]
    if s.sent_coarser:
        rows.append(("sent coarser to fit the cap", percent(s.sent_coarser)))
    if e.kind_accuracy is not None:
        rows.append(("defects whose kind is named right", percent(e.kind_accuracy)))
    return Words(
        "What a person sees, and what is sent",
        "Encoded features; the message's header comes on top.",
        [{"": name, "found": found} for name, found in rows],
    )


def recall(found: Sequence[Group]) -> Words:
    """By kind and size; a kind that comes in one size alone has one row."""
    whole = {g.kind: g.pictures for g in found if g.size == "any"}
    sized = {g.kind for g in found if g.size != "any" and g.pictures == whole[g.kind]}
    return Words(
        "Recall by kind of defect",
        "The share of pictures that do not pass, and in brackets how many do; what the edge "
        "escalates has not passed there. “At ≤ 5 %”: the system with its threshold at ≤ 5 % "
        "overkill. “> 1 %”: the mask covers more than 1 % of the picture.",
        [_recall(g) for g in found if g.size != "any" or g.kind not in sized],
    )


def _recall(g: Group) -> dict[str, str]:
    moved = g.system_at_overkill
    return {
        "defect": f"{g.kind or 'all'}{_SIZES[g.size]}",
        "pictures\n/ parts": f"{g.pictures} / {g.parts}",
        "edge": caught(g.edge),
        "cloud": caught(g.cloud),
        "system": caught(g.system),
        "at ≤ 5 %": NONE if moved is None else caught(moved),
    }


def rates(found: Rates) -> Words:
    """Every rate that was tried; the note says what they come to."""
    pictures = found.pictures
    rows = [_ours(point, pictures) for point in found.ours]
    for name, points in (("JPEG", pictures.jpeg), ("WebP", pictures.webp)) if pictures else ():
        rows += [_rate(f"{name} {point.step}", point) for point in points]
    return Words("Bytes against accuracy", in_words(found), rows)


def _ours(point: Point, pictures: PictureRates | None) -> dict[str, str]:
    name = f"features ×{point.step}"
    if pictures is None:
        return _rate(name, point)
    beside, tail_beside = (
        next((share(match) for match in matches if match.step == point.step), "not reached")
        for matches in (pictures.matches, pictures.tail_matches)
    )
    return _rate(name, point, beside, tail_beside)


def _rate(name: str, point: Point, beside: str = NONE, tail_beside: str = NONE) -> dict[str, str]:
    return {
        "rate": name,
        "bytes": number(point.bytes_p50),
        "AUROC": decimal(point.auroc),
        "of JPEG's": beside,
        "tail alone": decimal(point.tail_auroc),
        "its of JPEG's": tail_beside,
    }


def in_words(found: Rates) -> str:
    """What the curve comes to, and how it was made."""
    made = (
        "Features ×k: symbols k times as coarse. Their AUROC is the cloud's, which weighs the "
        "head's score too; “tail alone” is without it."
    )
    p = found.pictures
    if p is None:
        return f"{made} {HOW_TO_COMPARE}"
    within = (
        ("features", p.within_ours),
        ("features without the head's score", p.within_tail),
        ("JPEG", p.within_jpeg),
        ("WebP", p.within_webp),
    )
    least = ", ".join(
        f"{name} {'at no rate' if b is None else f'{number(b)} B'}" for name, b in within
    )
    return (
        f"The cloud model on pixels reaches {area(p.auroc, p.auroc_interval)}. To stay within "
        f"{LOSS * 100:.1f} points of it takes: {least}. {made} JPEG and WebP are of the head's "
        "input, decoded and judged by the cloud model on pixels, which was not retrained on "
        "them. “Of JPEG's”, and “its of JPEG's” for the tail alone: our bytes over JPEG's at equal "
        "AUROC, interpolated between the qualities that were tried."
    )


def area(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return NONE
    return f"{value:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def share(match: Match) -> str:
    return f"{'≥ ' if match.at_most else ''}{match.ratio:.2g}"


def parts(rate: PartRate) -> str:
    if rate.interval is None:
        return NONE
    low, high = (
        # A tenth of a percent says nothing of 36 %.
        f"{share * 100:.{0 if share >= 0.1 else 1}f}"
        for share in (rate.interval.low, rate.interval.high)
    )
    return f"{rate.wrong} of {rate.parts} ({low}–{high} %)"


def caught(found: Caught) -> str:
    # Almost all must not look like all.
    digits = 1 if 0.99 < found.recall < 1 else 0
    return f"{found.recall * 100:.{digits}f} % ({found.escapes})"


def _moved(found: AtOverkill | None) -> str:
    return NONE if found is None else percent(found.escape_rate)


def _moved_parts(found: AtOverkill | None) -> str:
    return NONE if found is None else parts(found.escapes)
