"""What systemd hears of the agent."""

from __future__ import annotations

import socket
from pathlib import Path

from edge.monitoring.watchdog import EVERY_S, Watchdog, heart
from shared.clock import ManualClock


def test_the_first_beat_asks_for_the_watchdog_and_later_ones_come_now_and_then() -> None:
    clock, said = ManualClock(), list[str]()
    pulse = Watchdog(clock, said.append)
    for _ in range(30):
        pulse.beat()
        clock.advance(EVERY_S / 10)
    assert said == ["WATCHDOG_USEC=120000000\nWATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]


def test_systemd_hears_it_at_the_socket_that_it_named(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(5)
        heart({"NOTIFY_SOCKET": str(path)}).beat()
        assert systemd.recv(100).endswith(b"WATCHDOG=1")


def test_an_abstract_name_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0splitsight-test-notify")
        systemd.settimeout(5)
        heart({"NOTIFY_SOCKET": "@splitsight-test-notify"}).beat()
        assert systemd.recv(100).endswith(b"WATCHDOG=1")


def test_without_systemd_or_with_a_deaf_one_nothing_happens(tmp_path: Path) -> None:
    heart({}).beat()
    heart({"NOTIFY_SOCKET": str(tmp_path / "none")}).beat()
