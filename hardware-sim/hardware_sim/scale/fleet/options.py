"""What a fleet can be told, checked before anything is started."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from cloud.broker.programs import IotCore, choose_program
from hardware_sim.scale.recording import HeadCost
from hardware_sim.scale.trial import TrialOptions
from shared.errors import SettingsError

# What a process opens besides its devices' sockets: libraries, database, log, selector.
SPARE_DESCRIPTORS = 128
MOST_DEVICES = 20_000
# Measured: a part costs a worker 1.5 to 3 ms of its one core, and its turn must not be late.
PARTS_PER_S_AND_WORKER = 250
# Of the broker that comes with Python, less the cloud's own connections.
IOTCORE_DEVICES = 990


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions(TrialOptions):
    """One run of `splitsight sim fleet`.

    devices    numbers of devices, each measured alone
    seconds    that are measured
    settle_s   how long broker and cloud are watched before the first device connects, and again
               how long parts come by before they are measured
    """

    devices: tuple[int, ...]
    every_s: float = 10.0
    escalated: float = 0.1
    seconds: float = 60.0
    settle_s: float = 5.0


def device_counts(text: str) -> tuple[int, ...]:
    """`10,100,1000` as numbers, fewest first. Raises SettingsError."""
    try:
        counts = {int(word) for word in text.split(",")}
    except ValueError as error:
        raise SettingsError(
            f"--devices is {text!r}", fix="give numbers with commas between, as in 10,100,1000"
        ) from error
    wrong = [count for count in counts if not 1 <= count <= MOST_DEVICES]
    if wrong:
        raise SettingsError(
            f"--devices asks for {wrong[0]} devices",
            fix=f"1 to {MOST_DEVICES} can be simulated; `splitsight sim plan` computes more",
        )
    return tuple(sorted(counts))


def device_count(text: str, most: int) -> int:
    """`1e5` as 100000. Raises SettingsError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= most or not number.is_integer():
        raise SettingsError(
            f"--devices is {text!r}", fix=f"give one whole number, 1 to {most:,}, as in 1e5"
        )
    return int(number)


def require_descriptors(devices: int, limit: int | None = None) -> None:
    """Raises SettingsError where broker or worker could not open a socket for each device.

    limit   of open files, this process's own where none is given
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    wanted = devices + SPARE_DESCRIPTORS
    if limit != resource.RLIM_INFINITY and limit < wanted:
        raise SettingsError(
            f"{devices} devices need {wanted} open files, this shell allows {limit}",
            fix=f"run `ulimit -n {wanted}` first; as root, `ulimit -Hn {wanted}` raises the "
            "hard limit",
        )


def require_broker(devices: int, broker: str | None = None) -> None:
    """Raises SettingsError where the broker can't hold so many connections.

    broker   its kind, the one that would be started here where none is given
    """
    if devices > IOTCORE_DEVICES and (broker or choose_program("auto").name) == IotCore.name:
        raise SettingsError(
            f"{devices} devices are too many for iotcore, the only broker here",
            fix=f"apt install mosquitto, or simulate {IOTCORE_DEVICES} at most",
        )


def require_time(options: FleetOptions, cost: HeadCost) -> None:
    """Raises SettingsError for an interval that a box or the simulator could not hold."""
    if options.every_s * 1000 < cost.head_ms:
        raise SettingsError(
            f"--every {options.every_s:g} s is shorter than the head takes for a part, "
            f"{cost.head_ms:.1f} ms as recorded",
            fix=f"use {cost.head_ms / 1000:.3f} or more: no box could inspect faster",
        )
    rate = max(options.devices) / options.every_s
    most = options.workers * PARTS_PER_S_AND_WORKER
    if rate > most:
        raise SettingsError(
            f"{max(options.devices)} devices with a part every {options.every_s:g} s make "
            f"{rate:.0f} parts/s, {options.workers} workers play {most} at most",
            fix=f"use --every {max(options.devices) / most:.3g} or more, or more --workers",
        )
