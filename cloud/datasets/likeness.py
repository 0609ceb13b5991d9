"""Find pictures of the same part where a data set names none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cloud.datasets.elpv_division import group_cells


def group_near_identical(images: Sequence[Path]) -> tuple[list[str], int]:
    """A part name for each picture, and how many pictures joined another's part.

    A part is called by the content of its first picture, in the order of paths, so that its name
    says nothing of how many pictures there are. Raises DataError for one that can't be read.
    """
    if not images:
        return [], 0
    groups, merged = group_cells(images)
    names: dict[str, str] = {}
    for image, group in sorted(zip(images, groups, strict=True)):
        if group not in names:
            names[group] = f"part-{hashlib.sha256(image.read_bytes()).hexdigest()[:12]}"
    return [names[group] for group in groups], merged
