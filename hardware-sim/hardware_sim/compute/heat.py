"""How warm a device gets, and when that slows it down."""

from __future__ import annotations

import math

from hardware_sim.compute.profiles import HeatFigures


class Heat:
    """A first-order model: one heat capacity behind one thermal resistance.

    dT/dt = (ambient + power · resistance − T) / time constant, solved exactly for each stretch of
    constant power (Incropera and DeWitt, "Fundamentals of Heat and Mass Transfer", ch. 5, lumped
    capacitance). Throttling has hysteresis.
    """

    def __init__(self, figures: HeatFigures) -> None:
        self._figures = figures
        self.ambient_c = figures.ambient_c.value
        self.temperature_c = self.steady_c(figures.idle_w.value)
        self.throttled = False
        self._judge()

    def steady_c(self, watts: float) -> float:
        """°C that it comes to at this power."""
        return self.ambient_c + watts * self._figures.resistance_c_per_w.value

    def pass_time(self, seconds: float, *, busy: bool) -> None:
        """So long it was busy, or idle."""
        watts = self._figures.busy_w.value if busy else self._figures.idle_w.value
        steady = self.steady_c(watts)
        share = math.exp(-max(0.0, seconds) / self._figures.time_constant_s.value)
        self.temperature_c = steady + (self.temperature_c - steady) * share
        self._judge()

    @property
    def slow_down(self) -> float:
        """How many times slower than cold it is now."""
        return self._figures.slow_down.value if self.throttled else 1.0

    def _judge(self) -> None:
        if self.temperature_c >= self._figures.throttle_c.value:
            self.throttled = True
        elif self.temperature_c <= self._figures.recover_c.value:
            self.throttled = False
