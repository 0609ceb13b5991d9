"""Two network namespaces joined by a cable that the kernel itself makes bad (tc-netem).

Where the proxy works on the bytes of a connection, this works on packets: loss, reordering and
duplicates below TCP. It needs root, `ip`, `tc` and a kernel with netem; `missing_parts` says what
is not there. Source: Hemminger, "Network Emulation with NetEm" (2005), and the manual tc-netem(8).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from typing import Self

import psutil
from pydantic import Field, model_validator

from shared.errors import ProcessError
from shared.settings import Settings

PREFIX = "splitsight"
TIMEOUT_S = 10.0
# Of a network reserved for documentation; a namespace sees no other one.
ADDRESSES = ("192.0.2.1", "192.0.2.2")
QUEUE_PACKETS = 10_000


class PacketConditions(Settings):
    """What happens to the packets of either end. The defaults change nothing."""

    latency_ms: float = Field(default=0.0, ge=0, le=60_000)
    jitter_ms: float = Field(default=0.0, ge=0, le=60_000, description="either way, at random")
    loss_share: float = Field(default=0.0, ge=0, le=1)
    duplicate_share: float = Field(default=0.0, ge=0, le=1)
    reorder_share: float = Field(
        default=0.0, ge=0, le=1, description="that overtake the others: sent without the latency"
    )
    bytes_per_s: int | None = Field(default=None, ge=100)

    @model_validator(mode="after")
    def _has_something_to_overtake(self) -> PacketConditions:
        if (self.reorder_share or self.jitter_ms) and not self.latency_ms:
            raise ValueError("jitter_ms and reorder_share need a latency_ms to vary")
        return self

    @property
    def arguments(self) -> list[str]:
        """For `tc qdisc ... netem`."""
        found = ["limit", str(QUEUE_PACKETS)]
        if self.latency_ms:
            found += ["delay", f"{self.latency_ms}ms", f"{self.jitter_ms}ms"]
        for name, share in (
            ("loss", self.loss_share),
            ("duplicate", self.duplicate_share),
            ("reorder", self.reorder_share),
        ):
            if share:
                found += [name, f"{share * 100:.4f}%"]
        if self.bytes_per_s is not None:
            found += ["rate", f"{self.bytes_per_s * 8}bit"]
        return found


@dataclass(frozen=True, slots=True)
class Namespace:
    """One end of the cable: a machine of its own, as far as its processes can see."""

    name: str
    address: str
    interface: str

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs there."""
        return ["ip", "netns", "exec", self.name, *arguments]


class NetemNetwork:
    """Entered: two namespaces, `near` and `far`, with a cable between them; left: gone.

    What a killed process left behind is removed when the next one enters.
    Raises ProcessError that names everything that is missing.
    """

    def __init__(self, conditions: PacketConditions | None = None) -> None:
        self._conditions = conditions or PacketConditions()
        token = secrets.token_hex(3)
        names = [_name_of_ours(token + end) for end in "ab"]
        # An interface's name has 15 characters at most.
        ends = [f"ss{token}{end}" for end in "ab"]
        self.near = Namespace(names[0], ADDRESSES[0], ends[0])
        self.far = Namespace(names[1], ADDRESSES[1], ends[1])

    def __enter__(self) -> Self:
        _require(missing_parts(netem=bool(_is_bad(self._conditions))))
        remove_stale()
        try:
            self._build()
            self.apply(self._conditions)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def apply(self, conditions: PacketConditions) -> None:
        """Replace the conditions, on both ends. Raises ProcessError where netem is not there."""
        if not _is_bad(conditions):
            for end in (self.near, self.far):
                if "netem" in _run("tc", "-n", end.name, "qdisc", "show", "dev", end.interface):
                    _run("tc", "-n", end.name, "qdisc", "del", "dev", end.interface, "root")
            return
        _require(missing_parts(netem=True))
        for end in (self.near, self.far):
            where = ("dev", end.interface, "root")
            _run("tc", "-n", end.name, "qdisc", "replace", *where, "netem", *conditions.arguments)

    def _build(self) -> None:
        near, far = self.near, self.far
        for end in (near, far):
            _run("ip", "netns", "add", end.name)
        cable = ("type", "veth", "peer", "name", far.interface, "netns", far.name)
        _run("ip", "-n", near.name, "link", "add", near.interface, *cable)
        for end in (near, far):
            _run("ip", "-n", end.name, "address", "add", f"{end.address}/30", "dev", end.interface)
            for interface in ("lo", end.interface):
                _run("ip", "-n", end.name, "link", "set", interface, "up")

    def _remove(self) -> None:
        for end in (self.near, self.far):
            _delete(end.name)


def missing_parts(*, netem: bool = True) -> list[str]:
    """What keeps this machine from it, in words; empty where nothing does.

    netem   whether packets are to be disturbed too, and not only to pass
    """
    lacking = [
        f"`{tool}` is not installed (apt install iproute2)"
        for tool in ("ip", "tc")
        if shutil.which(tool) is None
    ]
    if os.geteuid() != 0:
        lacking.append("network namespaces need root")
    if lacking:
        return lacking
    probe = _name_of_ours(secrets.token_hex(3))
    try:
        _run("ip", "netns", "add", probe)
    except ProcessError as error:
        return [f"network namespaces are not allowed here: {error.message}"]
    try:
        if netem:
            _run("tc", "-n", probe, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except ProcessError as error:
        return [f"this kernel has no netem (module sch_netem): {error.message}"]
    finally:
        _delete(probe)
    return []


def remove_stale() -> list[str]:
    """Delete the namespaces of processes that are gone; their names."""
    names = [line.split()[0] for line in _run("ip", "netns", "list").splitlines() if line.strip()]
    stale = [name for name in names if _is_stale(name)]
    for name in stale:
        _delete(name)
    return stale


def _name_of_ours(end: str) -> str:
    """A namespace's name that tells whose it is, even after the process number is used again."""
    owner = psutil.Process()
    return f"{PREFIX}-{owner.pid}-{int(owner.create_time())}-{end}"


def _is_stale(name: str) -> bool:
    parts = name.split("-")
    if len(parts) != 4 or parts[0] != PREFIX or not (parts[1] + parts[2]).isdigit():
        return False
    try:
        return int(psutil.Process(int(parts[1])).create_time()) != int(parts[2])
    except psutil.NoSuchProcess:
        return True


def _is_bad(conditions: PacketConditions) -> bool:
    return conditions != PacketConditions()


def _require(lacking: list[str]) -> None:
    if lacking:
        raise ProcessError(
            "network namespaces with netem can't be used here: " + "; ".join(lacking),
            fix="provide what is missing, or use the network proxy, which needs nothing",
        )


def _delete(name: str) -> None:
    with contextlib.suppress(ProcessError):
        _run("ip", "netns", "delete", name)


def _run(*command: str) -> str:
    """What a command prints. Raises ProcessError with what it complains of."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessError(
            f"{command[0]} can't be run ({error})", fix="check it by hand"
        ) from error
    if done.returncode:
        said = " ".join(itertools.islice(done.stderr.split(), 30)) or "nothing"
        raise ProcessError(
            f"`{' '.join(command)}` failed; it said: {said}", fix="run it by hand to see why"
        )
    return done.stdout
