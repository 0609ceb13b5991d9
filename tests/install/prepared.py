"""What a reader brings along: pictures, a data set with plants, a bundle that devices run."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cloud.datasets.makers import good_and_bad, part, save

PLANTS = ("aosta", "bari", "como", "deruta")
# A certificate of 5 % takes 59 parts of each kind among those that choose the gate, 15 % of all.
GOOD, BAD = 420, 420
README = "README.md"

Earlier = Callable[..., Path]


def prepare(page: Path, extras: tuple[str, ...], folder: Path, earlier: Earlier) -> None:
    """earlier: the folder that another page's commands have left, by page and extras."""
    if "train" in extras:
        if page.name == README:
            good_and_bad(folder / "parts", GOOD, BAD)
        elif page.name == "good-parts.md":
            good_and_bad(folder / "parts", 40, 20)
        else:
            trained = earlier(README, "train")
            for name in ("parts", "bundles/mine", "runs"):
                shutil.copytree(trained / name, folder / name, dirs_exist_ok=True)
    if page.name == "federation.md":
        # Here alone: the folder's conftest is read in every session, and torch takes seconds.
        from tests.fleet.rounds.plants import make_present

        make_present(folder)
        plants(folder / "parts/parts.csv", 160)
    if page.name == "federated.md" and "learn" in extras:
        shutil.copy(earlier("docs/federated.md", "train") / "base.npz", folder)
        plants(folder / "splits.csv", 24)
    if page.name == "releases.md":
        _next_version(folder)


def plants(path: Path, parts: int) -> None:
    """A manifest of parts that four plants have labelled, half of them with a blot."""
    rows = [["image", "defect", "domain", "part", "split"]]
    for place, name in enumerate(PLANTS):
        for number in range(parts):
            bad = number % 2 == 1
            image = save(
                path.parent / f"{name}-{number:03}.png", part(1000 * place + number, defective=bad)
            )
            split = "train" if number % 8 < 4 else "test"
            rows.append([image.name, "blot" if bad else "good", name, f"{name}/{number}", split])
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def _next_version(folder: Path) -> None:
    """The shipped bundle with another version, as `next`, and a mirror to write to."""
    shutil.copytree(folder / "bundles/elpv", folder / "next")
    manifest = folder / "next/manifest.json"
    manifest.write_text(manifest.read_text().replace('"1.2.0"', '"1.2.1"'))
    (folder / "mirror").mkdir()
