"""`splitsight cloud data version create|list|diff`: what a data set was when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shared import command_options as option
from shared.console import err, print_json, print_table, print_text
from shared.format import date

if TYPE_CHECKING:
    from cloud.datasets.versions.desk import VersionDesk

app = option.group("Versions of a data set, kept beside it.")

SHOWN = 20
DataPath = Annotated[
    str, typer.Argument(metavar="PATH", help="Pictures; a folder, or a file of labels.")
]


@app.command()
def create(
    path: DataPath,
    message: Annotated[str, typer.Option("--message", "-m", help="What it is; it is kept.")],
    by: option.By,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: record pictures, labels, masks, parts and splits as they are now."""
    version, new = _opened(path, data_format, skip_bad, same_part, seed).record(message, by)
    if not new:
        err.print(f"nothing has changed since {version.id}: no version was made", highlight=False)
    if format_ == "json":
        print_json(version)
        return
    print_text(f"{version.id}: {version.pictures} pictures")
    splits = sorted({split for by_split in version.counts.values() for split in by_split})
    rows = [
        {"kind": kind, **{split: by_split.get(split, 0) for split in splits}}
        for kind, by_split in version.counts.items()
    ]
    print_table("pictures by kind and split", rows)


@app.command("list")
def list_(path: DataPath, format_: option.Format = "text") -> None:
    """Local: versions, the newest first."""
    versions = _opened(path).store.versions()
    if format_ == "json":
        print_json(versions)
    elif versions:
        rows = [
            {
                "version": one.id,
                "at": date(one.creation_date),
                "by": one.committer,
                "pictures": one.pictures,
                "message": one.message,
            }
            for one in versions
        ]
        print_table(f"versions of {versions[0].name}, newest first", rows)
    else:
        print_text(f"no version yet: splitsight cloud data version create {path} -m 'as it came'")


@app.command()
def diff(
    path: DataPath,
    before: Annotated[str, typer.Argument(help="A version, or `latest`.")] = "latest",
    after: Annotated[str, typer.Argument(help="Another one, or `now`: as it is.")] = "now",
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: what was added, removed, relabelled, moved between splits or marked otherwise."""
    opened = _opened(path, data_format, skip_bad, same_part, seed)
    found = opened.difference(before, after)
    changes = found.difference.lists()
    counts = found.difference.counts()
    if format_ == "json":
        print_json({"before": found.before, "after": found.after, "counts": counts, **changes})
        return
    print_text(f"{found.before} → {found.after}: {found.difference.in_words()}")
    for word in counts:
        print_table(word.replace("_", " "), changes[word][:SHOWN])
        if counts[word] > SHOWN:
            print_text(f"{counts[word] - SHOWN} more: --format json lists all")


def _opened(
    path: str,
    data_format: str = "",
    skip_bad: bool = False,
    same_part: str = "auto",
    seed: int = 0,
) -> VersionDesk:
    with option.needs_extra("train"):
        from cloud.datasets.builder import ReadOptions  # noqa: PLC0415
        from cloud.datasets.likeness import SamePart  # noqa: PLC0415
        from cloud.datasets.versions.desk import VersionDesk  # noqa: PLC0415
    return VersionDesk(path, ReadOptions(seed, data_format, skip_bad, SamePart(same_part)))
