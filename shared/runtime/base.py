"""Inference behind one interface: an ONNX model in, numpy arrays out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.errors import RuntimeUnavailable, SplitsightError

GROUP = "splitsight.runtimes"
Precision = Literal["int8", "float32", "bfloat16", "float16"]
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """device: as the backend names it (`CPU`, `NPU`, `GPU`, `cuda`); threads: 0 lets it choose."""

    device: str = "CPU"
    threads: int = 1


class Runtime(Protocol):
    """A model, loaded and ready. Not safe to share between threads."""

    name: str
    device: str

    def run(self, inputs: Array) -> Sequence[Array]:
        """The model's outputs, in its order, for one batch of its only input."""


# A runtime's entry point: (model bytes, options) → Runtime.
RuntimeFactory = Callable[[bytes, RuntimeOptions], Runtime]


def runtime_names() -> list[str]:
    """The kinds of runtime that are installed, the simulator's and users' own among them."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def open_runtime(name: str, model: bytes, options: RuntimeOptions | None = None) -> Runtime:
    """Load a model on a named backend.

    Raises RuntimeUnavailable where the backend is not installed or can't run the model here.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise RuntimeUnavailable(
            f"there is no runtime {name!r}", fix=f"use one of {', '.join(runtime_names())}"
        )
    try:
        factory: RuntimeFactory = found[0].load()
        return factory(model, options or RuntimeOptions())
    except SplitsightError:
        raise
    except ImportError as error:
        raise RuntimeUnavailable(
            f"the runtime {name} is not installed ({error})",
            fix="pip install 'splitsight[edge]', or choose another runtime",
        ) from error
    except Exception as error:
        # Each backend has exceptions of its own; what they share is that the model won't run.
        raise RuntimeUnavailable(
            f"{name} can't run this model on {(options or RuntimeOptions()).device}: "
            f"{_reason(error)}",
            fix="see `splitsight doctor` for the devices here, or choose another runtime",
        ) from error


def _reason(error: Exception) -> str:
    """The first line that says something: OpenVINO begins with where in its sources it was."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not re.search(r"\.cpp:\d+:$", line)]
    return (telling or [type(error).__name__])[0][:300]
