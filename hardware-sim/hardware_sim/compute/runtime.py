"""The runtime `simulated`: a real backend behind a device's speed, memory, heat and driver.

The device is named in the settings, so that the agent needs to know nothing of it:

    runtime: {name: simulated, device: npu-int8}

A path to a YAML file is taken as well. Where the environment variable SPLITSIGHT_COMPUTE_SOCKET
names a path, the device can be looked at and acted on there; see `ComputeRemote`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hardware_sim.compute.control import SOCKET, ControlServer
from hardware_sim.compute.demands import demands_of, require_honourable
from hardware_sim.compute.device import ComputeState, SimulatedDevice
from hardware_sim.compute.profiles import DeviceProfile, load_profile, profile_names
from shared.clock import SystemClock
from shared.errors import RuntimeUnavailable
from shared.runtime.base import Array, Runtime, RuntimeOptions, open_runtime

# What settings say where nobody chose a device.
UNCHOSEN = "CPU"
# A backend that is a little slower than the device only makes a run less true, and is counted.
FAR_TOO_SLOW = 10
# Beside other work a third of a second may hold no quiet run.
TRIES = 300


class SimulatedRuntime:
    """A model on a simulated device. Not safe to share between threads.

    Raises RuntimeUnavailable where the device could not run the model, SettingsError for a
    profile that is not there or wrong.
    """

    name = "simulated"

    def __init__(self, model: bytes, options: RuntimeOptions) -> None:
        if options.device == UNCHOSEN:
            raise RuntimeUnavailable(
                "the runtime simulated needs a device profile",
                fix=f"set runtime.device to one of {', '.join(profile_names())}, or to a YAML file",
            )
        profile = load_profile(options.device)
        self._demands = demands_of(model)
        require_honourable(self._demands, profile)
        self._backend = _backend(model, profile, options.threads)
        self.device = profile.name
        self._simulated = SimulatedDevice(profile, SystemClock(), time.sleep)
        path = os.environ.get(SOCKET)
        self._control = ControlServer(self._simulated, Path(path)) if path else None

    def run(self, inputs: Array) -> Sequence[Array]:
        cool_s = self._demands.latency_s(self._simulated.profile, len(inputs))
        return self._simulated.run(lambda: self._backend.run(inputs), cool_s)

    @property
    def state(self) -> ComputeState:
        """Temperature, throttling and counts."""
        return self._simulated.state

    def close(self) -> None:
        """Give up the control socket, where there is one."""
        if self._control is not None:
            self._control.close()


def require_runnable(model: bytes, device: str, inputs: Array) -> None:
    """That a profile's device takes a model, and that what computes here can keep up with it.

    inputs   one picture for the model
    Raises as opening it does, and RuntimeUnavailable where the backend is far too slow.
    """
    profile = load_profile(device)
    demands = demands_of(model)
    require_honourable(demands, profile)
    runtime = _backend(model, profile, threads=1)
    wanted_s = demands.latency_s(profile)
    fastest_s = _fastest_s(runtime, inputs, enough=FAR_TOO_SLOW * wanted_s)
    if fastest_s > FAR_TOO_SLOW * wanted_s:
        raise RuntimeUnavailable(
            f"{profile.name} takes {wanted_s * 1000:.3g} ms for this model, {runtime.name} "
            f"{runtime.device} here {fastest_s * 1000:.3g} ms at best",
            fix="choose a slower device profile, or simulate it on a faster machine",
        )


def _fastest_s(runtime: Runtime, inputs: Array, *, enough: float) -> float:
    """Seconds of the fastest of TRIES runs, or of the first that is fast enough."""
    fastest_s = math.inf
    for _ in range(TRIES):
        started = time.perf_counter()
        runtime.run(inputs)
        fastest_s = min(fastest_s, time.perf_counter() - started)
        if fastest_s <= enough:
            break
    return fastest_s


def _backend(model: bytes, profile: DeviceProfile, threads: int) -> Runtime:
    options = RuntimeOptions(profile.backend.device, threads)
    return open_runtime(profile.backend.name, model, options)


def devices() -> list[str]:
    """None: a simulated device must be asked for by name, and is no candidate for measuring."""
    return []
