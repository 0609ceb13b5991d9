"""Arm's compiler for Ethos-U: what a head costs there, and what would be left to the CPU."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from shared.errors import MissingExtra, RuntimeUnavailable

PACKAGE = "ethos-u-vela"
# What a microcontroller's memory beside the accelerator can give to one model: the compiler would
# else take four times as much, to be a twentieth faster.
ARENA_BYTES = 384 * 1024
PATIENCE_S = 600.0
LEFT_TO_CPU = re.compile(r"^CPU operators = (\d+)", re.MULTILINE)
REFUSED = re.compile(
    r"^Warning \(supported operators\) operator: (?P<kind>\w+).*\nReason: (?P<why>.*)", re.MULTILINE
)
SHOWN = 300


@dataclass(frozen=True, slots=True)
class CompiledHead:
    """What the compiler made of a head. Its figures are its own estimates.

    file           for the device's runtime
    milliseconds   an inference
    sram_kib       memory that it takes beside the accelerator
    off_npu        operators that would run on the CPU, each with the compiler's reason
    tool           the compiler, with its version
    """

    file: bytes
    milliseconds: float
    sram_kib: float
    off_npu: tuple[str, ...]
    tool: str


def compile_head(litert: bytes, accelerator: str) -> CompiledHead:
    """Compile an int8 LiteRT file.

    accelerator   as Vela names its configurations, say `ethos-u55-256`
    Raises MissingExtra where the compiler is not installed, and RuntimeUnavailable where it refuses
    the file or takes longer than `PATIENCE_S`.
    """
    if find_spec("ethosu") is None:
        raise MissingExtra("npu", ImportError(name=PACKAGE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "head.tflite"
        source.write_bytes(litert)
        said = _run(source, accelerator, folder)
        summary = next(folder.glob("head_summary_*.csv"), None)
        compiled = folder / "head_vela.tflite"
        if summary is None or not compiled.exists():
            raise _refused(accelerator, said)
        with summary.open(newline="") as rows:
            (row,) = csv.DictReader(rows)
        return CompiledHead(
            compiled.read_bytes(),
            float(row["inference_time"]) * 1000,
            float(row["sram_memory_used"]),
            _off_npu(said),
            f"vela {version(PACKAGE)}",
        )


def _run(source: Path, accelerator: str, folder: Path) -> str:
    options = {
        "--accelerator-config": accelerator,
        "--optimise": "Performance",
        "--arena-cache-size": str(ARENA_BYTES),
        "--output-dir": str(folder),
    }
    given = [part for option in options.items() for part in option]
    command = [sys.executable, "-m", "ethosu.vela", "--show-cpu-operations", *given, str(source)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(accelerator, f"nothing for {PATIENCE_S:.0f} s") from error
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise _refused(accelerator, said)
    return said


def _off_npu(said: str) -> tuple[str, ...]:
    """By reason where the compiler gives one; it merges what it leaves to the CPU."""
    counted = LEFT_TO_CPU.search(said)
    if counted is None or counted[1] == "0":
        return ()
    reasons = tuple(f"{found['kind']}: {found['why']}" for found in REFUSED.finditer(said))
    return reasons or (f"{counted[1]} operators, no reason given",)


def _refused(accelerator: str, said: str) -> RuntimeUnavailable:
    lines = [line for line in said.strip().splitlines() if not line.startswith("Warning:")]
    last = " / ".join(lines)[-SHOWN:] or "nothing"
    return RuntimeUnavailable(
        f"Vela can't compile this head for {accelerator}; it said: {last}",
        fix="choose another target, or train the head anew with this version",
    )
