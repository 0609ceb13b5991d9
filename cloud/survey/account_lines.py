"""The account of a data set's files in lines, as commands print it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cloud.datasets.dataset import GOOD, SPLITS, Dataset
from cloud.datasets.readers import SurveyedData
from cloud.survey.shortages import shortages

FIRST = 3
SIZES = 4


def account_lines(found: SurveyedData) -> Iterator[str]:
    """What became of the files, and what is few to train on."""
    yield from file_lines(found)
    yield from (f"  few: {text}" for text in shortages(found.dataset))


def file_lines(found: SurveyedData) -> Iterator[str]:
    """What was found, used, left out and why, and decided."""
    dataset, account = found.dataset, found.account
    counts = account.counts()
    used = ", ".join(f"{n} {use}" for use, n in counts.items() if use != "left out")
    yield f"{dataset.name}, read as {found.form}: files used: {used}; left out: " + str(
        counts["left out"]
    )
    for why, count in account.reasons().items():
        first = [left.path.name for left in account.left_out if left.why == why][:FIRST]
        more = ", …" if count > len(first) else ""
        yield f"  left out: {count} {why} ({', '.join(first)}{more})"
    for flaw in account.flaws:
        yield f"  bad, left out: {flaw}"
    if found.seen is not None:
        yield f"  sizes: {_most(found.seen.sizes)}"
        yield f"  depths: {_most(found.seen.depths)}"
    yield from (f"  note: {note}" for note in account.notes)


def kinds_by_split(dataset: Dataset) -> list[dict[str, object]]:
    """A row a kind: pictures by split, and parts."""
    pictures = Counter((s.defect, s.split) for s in dataset.samples)
    parts = Counter(kind for kind, _ in {(s.defect, s.part) for s in dataset.samples})
    return [
        {
            "kind": kind,
            **{split: pictures[kind, split] for split in SPLITS},
            "parts": parts[kind],
        }
        for kind in (GOOD, *dataset.classes)
    ]


def _most(counted: Counter[str]) -> str:
    shown = [f"{count} of {what}" for what, count in counted.most_common(SIZES)]
    return ", ".join(shown) + (
        f" and {len(counted) - SIZES} others" if len(counted) > SIZES else ""
    )
