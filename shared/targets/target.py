"""For which accelerators a head can be exported, and what a bundle says of each that it was."""

from __future__ import annotations

from typing import Final

from shared.errors import SettingsError

LITERT: Final = "litert"
# Which of Arm's configurations a family's short name stands for.
FAMILIES: Final = {"ethos-u55": 256, "ethos-u65": 256, "ethos-u85": 512}
MACS: Final = {
    "ethos-u55": (32, 64, 128, 256),
    "ethos-u65": (256, 512),
    "ethos-u85": (128, 256, 512, 1024, 2048),
}
COMPILED: Final = tuple(f"{family}-{macs}" for family, sizes in MACS.items() for macs in sizes)
TARGETS: Final = (LITERT, *COMPILED)


def target_named(name: str) -> str:
    """A target by its name or its family's. Raises SettingsError where there is none."""
    whole = f"{name}-{FAMILIES[name]}" if name in FAMILIES else name
    if whole not in TARGETS:
        raise SettingsError(
            f"there is no target {name!r}",
            fix=f"one of {', '.join((LITERT, *FAMILIES))}, or with the number of "
            f"multiply-accumulates a cycle, say {COMPILED[0]}",
        )
    return whole
