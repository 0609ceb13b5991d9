"""Network namespaces, for real where this machine allows them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.errors import ProcessError, SettingsError
from shared.settings import validate
from tests.support.netem import (
    Namespace,
    NetemNetwork,
    PacketConditions,
    missing_parts,
    remove_stale,
)

PATIENCE_S = 20
LATENCY_MS = 30
ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 4000)) as listening:
    print("ready", flush=True)
    while True:
        connection, _ = listening.accept()
        connection.sendall(connection.recv(10))
        connection.close()
"""
ASK = """
import socket, sys, time
started = time.monotonic()
with socket.create_connection((sys.argv[1], 4000), timeout=10) as connection:
    connection.sendall(b"hello")
    assert connection.recv(10) == b"hello"
print(time.monotonic() - started)
"""
HOLDER = """
import signal
from tests.support.netem import NetemNetwork
with NetemNetwork() as network:
    print(network.near.name, network.far.name, flush=True)
    signal.pause()
"""


def needs(lacking: list[str]) -> None:
    """What the kernel lacks nobody can install: not skipped, which fails in CI, but expected."""
    if lacking:
        pytest.xfail("; ".join(lacking))


@pytest.fixture
def namespaces() -> None:
    needs(missing_parts(netem=False))


@pytest.fixture
def netem() -> None:
    needs(missing_parts())


def names() -> set[str]:
    listed = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    return {line.split()[0] for line in listed.stdout.splitlines()}


@contextmanager
def echoing(network: NetemNetwork) -> Iterator[None]:
    command = network.far.command(sys.executable, "-c", ECHO, network.far.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
        server.kill()


def round_trip_s(network: NetemNetwork) -> float:
    """Connect, ask and be answered: two round trips."""
    done = subprocess.run(
        network.near.command(sys.executable, "-c", ASK, network.far.address),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return float(done.stdout)


def disciplines(end: Namespace) -> str:
    """The queueing disciplines of one end, as the kernel lists them."""
    shown = subprocess.run(
        ["tc", "-n", end.name, "qdisc", "show"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return shown.stdout


@pytest.mark.process
@pytest.mark.usefixtures("namespaces")
def test_two_machines_reach_each_other_and_are_gone_afterwards() -> None:
    with NetemNetwork() as network, echoing(network):
        assert {network.near.name, network.far.name} <= names()
        assert round_trip_s(network) > 0
    assert not {network.near.name, network.far.name} & names()


@pytest.mark.process
@pytest.mark.usefixtures("namespaces")
def test_a_failure_inside_leaves_nothing_behind() -> None:
    network = NetemNetwork()

    def fail() -> None:
        with network:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not {network.near.name, network.far.name} & names()


@pytest.mark.process
@pytest.mark.usefixtures("namespaces")
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not() -> None:
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        left = set(holder.stdout.readline().split())
        assert remove_stale() == []
        assert left <= names()
        os.kill(holder.pid, signal.SIGKILL)
    assert len(left) == 2
    assert set(remove_stale()) == left
    assert not left & names()


@pytest.mark.process
@pytest.mark.usefixtures("netem")
def test_packets_take_longer_in_both_directions_and_the_delay_can_be_lifted() -> None:
    with NetemNetwork(PacketConditions(latency_ms=LATENCY_MS)) as network, echoing(network):
        assert round_trip_s(network) >= 4 * LATENCY_MS / 1000
        assert all("netem" in disciplines(end) for end in (network.near, network.far))
        network.apply(PacketConditions())
        assert not any("netem" in disciplines(end) for end in (network.near, network.far))


def test_what_is_missing_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert shutil.which("tc") is None
    with pytest.raises(ProcessError) as raised, NetemNetwork():
        pass
    assert "`ip` is not installed (apt install iproute2); `tc` is not" in raised.value.message
    assert "use the network proxy" in raised.value.fix


@pytest.mark.process
@pytest.mark.usefixtures("namespaces")
def test_without_netem_bad_conditions_are_refused_and_nothing_is_left() -> None:
    lacking = missing_parts()
    before = names()
    network = NetemNetwork(PacketConditions(latency_ms=1))
    if lacking:
        with pytest.raises(ProcessError, match="this kernel has no netem"):
            network.__enter__()
    else:
        with network:
            assert network.near.name in names()
    assert names() == before


def test_conditions_become_arguments_of_netem() -> None:
    conditions = PacketConditions(
        latency_ms=20,
        jitter_ms=5,
        loss_share=0.01,
        duplicate_share=0.02,
        reorder_share=0.25,
        bytes_per_s=1000,
    )
    assert " ".join(conditions.arguments) == (
        "limit 10000 delay 20.0ms 5.0ms loss 1.0000% duplicate 2.0000% reorder 25.0000% "
        "rate 8000bit"
    )


def test_reordering_without_latency_is_refused() -> None:
    with pytest.raises(SettingsError, match="need a latency_ms to vary"):
        validate({"reorder_share": 0.5}, PacketConditions, "scenario")
