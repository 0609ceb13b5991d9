"""Inputs that earlier runs found worth keeping, one archive a target."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

KEPT = Path(__file__).parent / "corpus"
MOST = 400
# An archive of the same inputs is the same archive.
_DATE = (1980, 1, 1, 0, 0, 0)


def kept(target: str) -> list[bytes]:
    """The inputs of a target; none where nothing was kept yet."""
    path = KEPT / f"{target}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def keep(target: str, inputs: Iterable[bytes]) -> int:
    """Keep the shortest of them, MOST at most; how many that are."""
    chosen = sorted(set(inputs), key=lambda raw: (len(raw), raw))[:MOST]
    KEPT.mkdir(exist_ok=True)
    with zipfile.ZipFile(KEPT / f"{target}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for raw in chosen:
            name = hashlib.sha256(raw).hexdigest()[:16]
            archive.writestr(zipfile.ZipInfo(name, _DATE), raw, zipfile.ZIP_DEFLATED)
    return len(chosen)
