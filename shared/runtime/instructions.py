"""What the processor can do that decides whether its results are right."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64"})


@cache
def saturates() -> bool:
    """Whether int8 kernels add up in 16 bits here, and cut off what is more.

    x86 without VNNI has no instruction that multiplies int8 into 32 bits: kernels that use
    `vpmaddubsw` instead lose what exceeds 16 bits, and nobody is told. Where nothing says what the
    processor has it is taken to have it; a head's parity with its bundle is checked anyway.
    """
    if platform.machine().lower() not in _X86:
        return False
    try:
        return lacks_vnni(_CPUINFO.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return False


def lacks_vnni(cpuinfo: str) -> bool:
    """Whether the text of /proc/cpuinfo lists flags, and VNNI is not among them."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return bool(flags) and not {"avx_vnni", "avx512_vnni"} & set(flags.split())
