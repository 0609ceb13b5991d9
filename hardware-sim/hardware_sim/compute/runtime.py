"""The runtime `simulated`: a real backend behind a device's speed, memory, heat and driver.

The device is named in the settings, so that the agent needs to know nothing of it:

    runtime: {name: simulated, device: npu-int8}

A path to a YAML file is taken as well. Where the environment variable SPLITSIGHT_COMPUTE_SOCKET
names a path, the device can be looked at and acted on there; see `ComputeRemote`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from hardware_sim.compute.control import SOCKET, ControlServer
from hardware_sim.compute.demands import demands_of, require_honourable
from hardware_sim.compute.device import ComputeState, SimulatedDevice
from hardware_sim.compute.profiles import load_profile, profile_names
from shared.clock import SystemClock
from shared.errors import RuntimeUnavailable
from shared.runtime.base import Array, Runtime, RuntimeOptions, open_runtime

# What settings say where nobody chose a device.
UNCHOSEN = "CPU"


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
        backend = RuntimeOptions(profile.backend.device, options.threads)
        self._backend: Runtime = open_runtime(profile.backend.name, model, backend)
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


def devices() -> list[str]:
    """None: a simulated device must be asked for by name, and is no candidate for measuring."""
    return []
