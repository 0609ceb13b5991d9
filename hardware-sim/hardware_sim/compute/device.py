"""A simulated device: a real computation, made to take as long as on the device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from hardware_sim.compute.heat import Heat
from hardware_sim.compute.profiles import DeviceProfile
from hardware_sim.processes.unix_socket import SocketMessage
from shared.clock import Clock
from shared.log import get_logger

log = get_logger("compute")

T = TypeVar("T")


class ComputeState(SocketMessage, frozen=True, kw_only=True):
    """How a device is.

    profile        its name
    temperature_c  of the chip now; ambient_c of the air
    throttled      it is slowed down by its heat
    resetting      its driver does not work now
    runs, failed   inferences since the start, and those that a reset failed
    overruns       of the runs, those in which the real backend took longer than the profile
                   allows: the simulation was slower than the device
    latency_ms     what the profile asks of the last run
    """

    profile: str
    temperature_c: float
    ambient_c: float
    throttled: bool
    resetting: bool
    runs: int
    failed: int
    overruns: int
    latency_ms: float


class SimulatedDevice:
    """One device with its clock, heat and driver. Control comes from other threads."""

    def __init__(self, profile: DeviceProfile, clock: Clock, wait: Callable[[float], None]) -> None:
        """wait: returns after so many seconds of `clock`"""
        self.profile = profile
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._heat = Heat(profile.heat)
        self._last = clock.monotonic()
        self._reset_until = float("-inf")
        self._runs = self._failed = self._overruns = 0
        self._latency_s = 0.0

    def run(self, compute: Callable[[], T], cool_s: float) -> T:
        """Compute for real, then wait for what is left of the device's time.

        cool_s   seconds that it takes while it is not throttled
        Raises RuntimeError, as a real runtime does, while the driver is reset.
        """
        started = self._clock.monotonic()
        with self._lock:
            self._idle_until(started)
            if started < self._reset_until:
                self._failed += 1
                raise RuntimeError(self.profile.driver.error)
            wanted = cool_s * self._heat.slow_down
        result = compute()
        left = started + wanted - self._clock.monotonic()
        if left > 0:
            self._wait(left)
        ended = self._clock.monotonic()
        with self._lock:
            self._heat.pass_time(ended - started, busy=True)
            self._last = ended
            self._runs += 1
            self._latency_s = wanted
            self._overruns += left < 0
            first = left < 0 and self._overruns == 1
        if first:
            log.warning(
                "profile_too_fast",
                profile=self.profile.name,
                wanted_ms=round(wanted * 1000, 3),
                took_ms=round((ended - started) * 1000, 3),
            )
        return result

    def reset(self, for_s: float | None = None) -> None:
        """The driver fails from now on; None: for as long as the profile says."""
        seconds = self.profile.driver.reset_s.value if for_s is None else for_s
        with self._lock:
            self._reset_until = self._clock.monotonic() + seconds

    def ambient(self, celsius: float) -> None:
        """The air around it has this temperature from now on."""
        with self._lock:
            self._idle_until(self._clock.monotonic())
            self._heat.ambient_c = celsius

    @property
    def state(self) -> ComputeState:
        now = self._clock.monotonic()
        with self._lock:
            self._idle_until(now)
            return ComputeState(
                profile=self.profile.name,
                temperature_c=self._heat.temperature_c,
                ambient_c=self._heat.ambient_c,
                throttled=self._heat.throttled,
                resetting=now < self._reset_until,
                runs=self._runs,
                failed=self._failed,
                overruns=self._overruns,
                latency_ms=self._latency_s * 1000,
            )

    def _idle_until(self, now: float) -> None:
        self._heat.pass_time(now - self._last, busy=False)
        self._last = max(self._last, now)
