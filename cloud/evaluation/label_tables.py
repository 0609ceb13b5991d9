"""What is known of a set's labels, as tables, a page and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from cloud.datasets.pictures import decode
from cloud.disputes.label_quality import DisputedLabel, LabelQuality, UnequalTwins
from cloud.evaluation.sheets import captioned, framed, rows_of
from cloud.evaluation.tables import Words
from shared.format import NONE, decimal, number, percent

PICTURES = 24
ACROSS = 4
ROWS = 50
FEW = 8
"""Rows of a table, and pictures, where labels are one section among others."""
SHEET = "disputed.png"


class LabelTables(NamedTuple):
    """Any of them may have no rows."""

    errors: Words
    disputed: Words
    twins: Words
    agreement: Words

    @property
    def filled(self) -> list[Words]:
        return [table for table in self if table.rows]


def label_headline(found: LabelQuality) -> str:
    """What was looked at and what came of it, in a few sentences."""
    twins = number(len(found.twins)) if found.twins else "no"
    told = (
        f"The scores dispute {_counted(found)}; {twins} groups of near-identical pictures carry "
        "different labels."
    )
    if found.learned:
        told += (
            f" The bundle has learned from {number(found.learned)} of them and remembers their "
            "labels: those were compared with other parts instead."
        )
    if not found.by_bundle and found.by_other_parts > found.learned:
        told += " Other parts tell the rest better than the bundle's own scores do."
    return " ".join([told, *(f"{note[0].upper()}{note[1:]}." for note in found.notes)])


def label_tables(found: LabelQuality, most: int = ROWS) -> LabelTables:
    """most: rows of a table"""
    return LabelTables(
        Words(
            "Disputed labels by kind of error",
            "Of all pictures that carry the label. Kinds of defect are not disputed, only good "
            "against defective.",
            [
                {
                    "label": one.given,
                    "rather": one.suggested,
                    "disputed": f"{number(one.disputed)} of {number(one.pictures)}",
                }
                for one in found.errors
            ],
        ),
        Words(
            "Labels that the scores dispute",
            "The surest first: look at these again. A score is how surely the part is defective, "
            "0 to 1: the bundle's own where it has not learned from the part, or by other parts."
            + _beyond(len(found.disputed), most),
            [_row(one) for one in found.disputed[:most]],
        ),
        Words(
            "Near-identical pictures with different labels",
            "Of twins at most one label can be right, unless the difference is too small for a "
            "thumbnail." + _beyond(len(found.twins), most),
            [_twins_row(twins) for twins in found.twins[:most]],
        ),
        Words(
            "How far inspectors agree",
            "Cohen's κ is 1 where two always say the same and 0 where they agree as often as "
            "chance would have it, with an interval of 95 % confidence. The data does not say "
            "who knew of the other's word.",
            [
                {
                    "inspectors": one.inspectors,
                    "line": one.line,
                    "parts": number(one.pairs),
                    "the same": number(one.agreed),
                    "κ": NONE
                    if one.kappa is None
                    else f"{decimal(one.kappa)} ({decimal(one.low)} to {decimal(one.high)})",
                }
                for one in found.agreement[:most]
            ],
        ),
    )


def label_sheet(rows: Sequence[DisputedLabel], most: int = PICTURES) -> bytes | None:
    """The first of them side by side, at most `most`, as a PNG; None where there are none.

    Raises DataError where a picture can't be read.
    """
    cells = [
        captioned(
            framed(decode(Path(row.image), channels=3)),
            (f"{row.given}, rather {row.suggested}: {row.score:.3f}", Path(row.image).name),
        )
        for row in rows[:most]
    ]
    return cv2.imencode(".png", rows_of(cells, ACROSS))[1].tobytes() if cells else None


def _counted(found: LabelQuality) -> str:
    if not found.disputed:
        return f"none of {number(found.pictures)} labels"
    return (
        f"{number(len(found.disputed))} of {number(found.pictures)} labels ({percent(found.share)})"
    )


def _beyond(count: int, most: int) -> str:
    return f" These are the first {most} of {number(count)}." if count > most else ""


def _twins_row(twins: UnequalTwins) -> dict[str, str]:
    """The first picture, and the first that carries another label."""
    other = next(n for n, label in enumerate(twins.labels) if label != twins.labels[0])
    named = [f"{Path(twins.images[n]).name} ({twins.labels[n]})" for n in (0, other)]
    return {"picture": named[0], "twin": named[1], "alike in all": number(len(twins.images))}


def _row(one: DisputedLabel) -> dict[str, str]:
    return {
        "picture": Path(one.image).name,
        "split": one.split,
        "label": one.given,
        "rather": one.suggested,
        "score": decimal(one.score),
        "by": one.judged_by,
    }
