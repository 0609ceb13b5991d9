"""What a process loads: a device needs no torch, serving needs none either."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
LOADED = """
import importlib, json, pkgutil, sys
left_out = tuple(name[1:] for name in sys.argv[1:] if name.startswith("-"))
wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
for name in wanted:
    module = importlib.import_module(name)
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), name + "."):
        if not found.name.startswith(left_out):
            wanted.append(found.name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded(*modules: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after importing these, whole.

    A name with `-` before it is left out, with all below it.
    """
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
            # The learner is a process of its own, which runs during a round only.
            ["edge", "-edge.learner", "-edge.learning"],
            {
                *{"torch", "flwr", "fastapi", "sqlmodel", "onnx", "scipy"},
                *{"cloud", "fleet", "hardware_sim"},
            },
        ),
        (
            ["shared.commands.root", "fleet.cli", "hardware_sim.cli"],
            {"torch", "cv2", "onnx", "fastapi", "edge", "cloud", "numpy", "pydantic", "httpx"},
        ),
        (["fleet.cli"], {"torch", "flwr", "fastapi", "onnx", "edge", "cloud", "hardware_sim"}),
        (["fleet", "-fleet.rounds"], {"torch", "flwr", "onnx", "edge", "cloud", "hardware_sim"}),
        (
            # Read before the first escalation is answered; pages and API are read after it.
            ["cloud.service", "fleet.plugin"],
            {"torch", "onnx", "scipy", "fastapi", "uvicorn", "jinja2", "alembic", "joserfc"},
        ),
        (
            [*("cloud.cli", "cloud.service", "cloud.web")],
            {"torch", "onnx", "scipy", "edge", "fleet", "hardware_sim"},
        ),
        (["hardware_sim"], {"torch", "onnx", "scipy", "httpx"}),
        (
            [
                "cloud.inference.intake",
                "cloud.records.queries",
                "cloud.inference.tail",
                "cloud.inference.worker",
            ],
            {"torch", "onnx", "scipy", "edge", "fleet", "hardware_sim"},
        ),
    ],
)
def test_a_process_loads_nothing_of_another_floor(modules: list[str], unwanted: set[str]) -> None:
    found = loaded(*modules)
    assert {module.split(".")[0] for module in modules if module[0] != "-"} <= found
    assert not found & unwanted
