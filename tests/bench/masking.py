"""What secure aggregation costs beside a plain sum: time on a device and the server, and bytes.

What comes down is counted without the model, which comes down in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from edge.learner import secure_aggregation as device
from fleet.rounds.aggregation.secure_mean import SecureRound
from shared.federation.fixed_point import Floats
from shared.federation.masking import degree
from shared.federation.secure_aggregation import Invitation, Revealed, Survivors, written

VALUES = 300_000
SIZES = (6, 50)
PLAIN_BYTES = 2 * VALUES
K = TypeVar("K")
G = TypeVar("G", bound=msgspec.Struct)


def measure(_bundle: Path, _folder: Path) -> list[dict[str, object]]:
    """A round for each number of devices, all staying, then one in ten gone before its update."""
    return [
        {"devices": count, "gone": gone, **_Round(count, gone).run()}
        for count in SIZES
        for gone in (0, max(1, count // 10))
    ]


@dataclass
class _Round:
    """One round in one thread, with a stopwatch for each side."""

    count: int
    gone: int
    device_s: dict[int, float] = field(default_factory=dict)
    up: dict[int, int] = field(default_factory=dict)
    down: dict[int, int] = field(default_factory=dict)
    server_s: float = 0.0

    def run(self) -> dict[str, object]:
        rng = np.random.default_rng(0)
        change = rng.normal(0, 0.01, VALUES).astype(np.float32)
        invitation = Invitation(b"s" * 32, self.count, 1024, 100.0, 0.25, 0.5)
        limits = invitation.limits(change)
        everyone = range(1, self.count + 1)
        server = SecureRound(invitation, limits)
        adverts, sessions = {}, {}
        for one in everyone:
            sessions[one], adverts[one] = self._device(
                one, partial(device.advertise, invitation, one, change, limits, 100)
            )
        rosters = self._server(lambda: server.roster(adverts), everyone)
        deals = {}
        for one in everyone:
            sessions[one], deals[one] = self._device(
                one, partial(device.deal, sessions[one], rosters[one])
            )
        deliveries = self._server(lambda: server.deliveries(deals), everyone)
        updates = {}
        for one in everyone[self.gone :]:
            sessions[one], updates[one] = self._device(
                one, partial(device.mask, sessions[one], deliveries[one])
            )
        survivors = self._server(lambda: server.survivors(updates), everyone[self.gone :])
        revealed = {}
        for one in everyone[self.gone :]:
            _, revealed[one] = self._device(one, partial(_unmask, sessions[one], survivors[one]))
        started = time.perf_counter()
        mean = server.mean(revealed).mean
        self.server_s += time.perf_counter() - started
        return self._row(mean, change)

    def _row(self, mean: Floats, change: Floats) -> dict[str, object]:
        stayed = range(self.gone + 1, self.count + 1)
        up = max(self.up[one] for one in stayed)
        down = max(self.down[one] for one in stayed)
        return {
            "neighbours": degree(self.count),
            "device_ms": 1e3 * float(np.median([self.device_s[one] for one in stayed])),
            "server_ms": 1e3 * self.server_s,
            "up_kB": up / 1e3,
            "up_times_plain": up / PLAIN_BYTES,
            "down_kB": down / 1e3,
            "worst_error": float(np.abs(mean - change).max()),
        }

    def _device(self, one: int, do: Callable[[], tuple[K, G]]) -> tuple[K, G]:
        started = time.perf_counter()
        kept, given = do()
        raw = len(written(given))
        self.device_s[one] = self.device_s.get(one, 0.0) + time.perf_counter() - started
        self.up[one] = self.up.get(one, 0) + raw
        return kept, given

    def _server(self, do: Callable[[], dict[int, G]], told: Iterable[int]) -> dict[int, G]:
        started = time.perf_counter()
        answers = do()
        self.server_s += time.perf_counter() - started
        for one in told:
            self.down[one] = self.down.get(one, 0) + len(written(answers[one]))
        return answers


def _unmask(session: device.SecureSession, survivors: Survivors) -> tuple[None, Revealed]:
    return None, device.unmask(session, survivors)
