"""Which backend to use here: by name, or the fastest one that agrees with the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import RuntimeUnavailable
from shared.runtime.base import Runtime, RuntimeOptions, open_runtime
from shared.runtime.settings import AUTO

# The order to try without measuring: `splitsight edge bench` measures.
PREFERENCE = ("openvino", "onnx")


@dataclass(frozen=True, slots=True)
class ChosenRuntime:
    """A loaded runtime and why it was taken."""

    runtime: Runtime
    reason: str


def choose_runtime(name: str, model: bytes, options: RuntimeOptions) -> ChosenRuntime:
    """Load the named runtime; `auto` takes the first of PREFERENCE that can run the model.

    Raises RuntimeUnavailable, with every backend's own reason, where none can.
    """
    if name != AUTO:
        return ChosenRuntime(open_runtime(name, model, options), f"{name} was asked for")
    reasons = []
    for candidate in PREFERENCE:
        try:
            runtime = open_runtime(candidate, model, options)
        except RuntimeUnavailable as error:
            reasons.append(error.message)
            continue
        reason = f"{candidate} is the first of {', '.join(PREFERENCE)} that runs the model here"
        return ChosenRuntime(runtime, reason)
    raise RuntimeUnavailable(
        "no backend runs the model: " + "; ".join(reasons),
        fix="install one: pip install 'splitsight[edge]'",
    )
