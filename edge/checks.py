"""What `splitsight doctor` says of this box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from edge.bench import devices_of
from edge.kinds import Loaded, actuator_kinds, camera_kinds
from shared.doctor import Row, row
from shared.runtime.base import GROUP

EXTRA_OF = {"torch": "train"}


def checks() -> list[Row]:
    """Rows {check, ok, found, wanted, fix}: each runtime with its devices, each plug-in."""
    runtimes = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [
        *(_runtime(entry) for entry in runtimes),
        *_kinds("camera", camera_kinds()),
        *_kinds("actuator", actuator_kinds()),
    ]


def _runtime(entry: EntryPoint) -> Row:
    wanted = "a backend that can be loaded"
    try:
        devices = devices_of(entry.module)
    except ImportError as error:
        return row(
            f"runtime {entry.name}",
            ok=False,
            found=str(error),
            wanted=wanted,
            fix=f"pip install 'splitsight[{EXTRA_OF.get(entry.name, 'edge')}]', or use another",
        )
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        return row(
            f"runtime {entry.name}",
            ok=False,
            found=f"{type(error).__name__}: {error}",
            wanted=wanted,
            fix="check the driver of its device",
        )
    return row(f"runtime {entry.name}", ok=True, found=", ".join(devices) or "loads", wanted=wanted)


def _kinds(what: str, kinds: Sequence[Loaded[Any]]) -> Iterator[Row]:
    for loaded in kinds:
        yield row(
            f"{what} {loaded.name}",
            ok=loaded.kind is not None,
            found=loaded.error or "loads",
            wanted="a plug-in that can be loaded",
            fix="" if loaded.kind else "install what it needs, or remove the package",
        )
