"""What every command of the simulator needs: a model, a folder to work in, a way to be ended."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

# Within the wheel they lie beside this package, in a checkout at its root.
_HERE = Path(__file__).resolve()
_BUNDLES = next(
    p for p in (_HERE.parents[1] / "bundles", _HERE.parents[3] / "bundles") if p.is_dir()
)
SHIPPED_BUNDLE = _BUNDLES / "elpv"


@contextlib.contextmanager
def work_folder(wanted: Path | None) -> Iterator[Path]:
    """The folder asked for, kept; or a temporary one, removed."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    folder = Path(tempfile.mkdtemp(prefix="splitsight-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class StopSignal:
    """SIGINT and SIGTERM as an event, so that everything ends in its order."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: self._event.set())

    @property
    def given(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)
