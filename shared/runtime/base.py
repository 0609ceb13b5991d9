"""Inference behind one interface: an ONNX model in, numpy arrays out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.errors import RuntimeUnavailable, SplitsightError
from shared.plugins.group import PluginGroup, lacks

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
RUNTIMES: PluginGroup[RuntimeFactory] = PluginGroup("splitsight.runtimes", "runtime", makes=Runtime)


def open_runtime(name: str, model: bytes, options: RuntimeOptions | None = None) -> Runtime:
    """Load a model on a named backend.

    Raises RuntimeUnavailable where the backend is not installed or can't run the model here.
    """
    known = RUNTIMES.names()
    if name not in known:
        raise RuntimeUnavailable(
            f"there is no runtime {name!r}", fix=f"use one of {', '.join(known)}"
        )
    loaded = RUNTIMES.load(name)
    if loaded.kind is None:
        raise _unusable(name, loaded.error)
    try:
        runtime = loaded.kind(model, options or RuntimeOptions())
    except SplitsightError:
        raise
    except ImportError as error:
        raise _unusable(name, str(error)) from error
    except Exception as error:
        # Each backend has exceptions of its own; what they share is that the model won't run.
        raise RuntimeUnavailable(
            f"{name} can't run this model on {(options or RuntimeOptions()).device}: "
            f"{_reason(error)}",
            fix="see `splitsight doctor` for the devices here, or choose another runtime",
        ) from error
    if lacking := lacks(runtime, Runtime):
        raise _unusable(name, f"{type(runtime).__name__} lacks {', '.join(lacking)}")
    return runtime


def _unusable(name: str, why: str) -> RuntimeUnavailable:
    return RuntimeUnavailable(
        f"the runtime {name} can't be used here ({why})",
        fix="pip install 'splitsight[edge]', or choose another runtime",
    )


def _reason(error: Exception) -> str:
    """The first line that says something: OpenVINO begins with where in its sources it was."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not re.search(r"\.cpp:\d+:$", line)]
    return (telling or [type(error).__name__])[0][:300]
