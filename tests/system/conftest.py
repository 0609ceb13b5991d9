"""The shipped bundle, and ports that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware_sim.demo.demo import Demo, DemoOptions
from shared.loopback import free_port

BUNDLE = Path(__file__).parents[2] / "bundles" / "elpv"


@pytest.fixture
def options() -> DemoOptions:
    return DemoOptions(
        BUNDLE,
        parts=90,
        rate=15.0,
        port=free_port(),
        broker_port=free_port(),
        runtime="onnx",
        history=False,
    )


@pytest.fixture
def demo(options: DemoOptions, tmp_path: Path) -> Iterator[Demo]:
    running = Demo(options, tmp_path)
    yield running
    running.stop()
