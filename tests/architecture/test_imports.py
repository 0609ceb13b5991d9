"""What a process loads: a device needs no torch, serving needs none either."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
        importlib.import_module(found.name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded(*modules: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after importing these, whole."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            ["edge"],
            {"torch", "fastapi", "sqlmodel", "onnx", "scipy", "cloud", "fleet", "hardware_sim"},
        ),
        (["shared.cli"], {"torch", "cv2", "onnx", "fastapi", "edge", "cloud"}),
        (["fleet"], {"torch", "fastapi", "onnx", "edge", "cloud", "hardware_sim"}),
        (
            [*("cloud.cli", "cloud.serving", "cloud.service", "cloud.api", "cloud.dashboard")],
            {"torch", "onnx", "scipy", "edge", "fleet", "hardware_sim"},
        ),
        (["hardware_sim"], {"torch", "onnx", "scipy", "httpx"}),
        (
            ["cloud.intake", "cloud.records.queries", "cloud.tail", "cloud.judge"],
            {"torch", "onnx", "scipy", "edge", "fleet", "hardware_sim"},
        ),
    ],
)
def test_a_process_loads_nothing_of_another_floor(modules: list[str], unwanted: set[str]) -> None:
    found = loaded(*modules)
    assert {module.split(".")[0] for module in modules} <= found
    assert not found & unwanted
