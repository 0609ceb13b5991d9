"""A disk image as a machine in QEMU, with KVM where the processor has it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fleet.flash.tools import find_tool
from shared import parent_guard
from shared.errors import ImageError, ProcessError
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("machine")

MEMORY_MIB = 1536
KVM = Path("/dev/kvm")
CPU_INFO = Path("/proc/cpuinfo")
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Firmware:
    """UEFI for one architecture; variables are copied for each machine."""

    code: Path
    variables: Path
    package: str


@dataclass(frozen=True, slots=True)
class MachineKind:
    """How QEMU plays a profile's machine. `emulated`: its processor where there is no KVM."""

    program: str
    machine: str
    emulated: str
    here: str
    firmware: Firmware
    watchdog: str


KINDS = {
    "x86-64": MachineKind(
        "qemu-system-x86_64",
        "q35",
        # With ERMS (as in `max`) QEMU 7.2 hangs for minutes in clear_page_erms.
        "Nehalem",
        "x86_64",
        Firmware(
            Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"), "ovmf"
        ),
        "i6300esb",
    ),
    "arm64": MachineKind(
        "qemu-system-aarch64",
        "virt",
        "cortex-a72",
        "aarch64",
        Firmware(
            Path("/usr/share/AAVMF/AAVMF_CODE.fd"),
            Path("/usr/share/AAVMF/AAVMF_VARS.fd"),
            "qemu-efi-aarch64",
        ),
        "i6300esb",
    ),
}


def has_kvm(kind: MachineKind, kvm: Path = KVM, cpu_info: Path = CPU_INFO) -> bool:
    """Whether this machine can run the other at its own speed.

    The device alone is no proof: some virtual machines show it without the means behind it.
    """
    if platform.machine() != kind.here or not os.access(kvm, os.R_OK | os.W_OK):
        return False
    if kind.here != "x86_64":
        return True
    words = cpu_info.read_text(encoding="utf-8").split() if cpu_info.exists() else []
    return "vmx" in words or "svm" in words


def command(kind: MachineKind, disk: Path, variables: Path, *, accelerate: bool) -> list[str]:
    """QEMU's command line: the disk, a network card behind NAT, a watchdog, a serial console."""
    # Emulated processors that wait for each other's locks cost more than a second one brings.
    acceleration, cpus = ("kvm", 2) if accelerate else ("tcg", 1)
    return [
        find_tool(kind.program),
        *("-machine", kind.machine, "-accel", acceleration),
        *("-cpu", "host" if accelerate else kind.emulated),
        *("-smp", str(cpus), "-m", str(MEMORY_MIB)),
        *("-drive", f"if=pflash,format=raw,readonly=on,file={kind.firmware.code}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
        *("-drive", f"if=none,id=disk,format=raw,cache=writeback,file={disk}"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", kind.watchdog, "-action", "watchdog=reset"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio", "-no-user-config"),
    ]


class QemuMachine:
    """One run of one disk. Use as a context; at its end the machine has no power any more."""

    def __init__(
        self,
        disk: Path,
        log_file: Path,
        *,
        profile: str = "x86-64",
        accelerate: bool | None = None,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """log_file   gets the serial console, after what it has already
        accelerate  with KVM; None: where it works
        on_line     called with each line of the console, by another thread
        """
        self._kind = KINDS[profile]
        self._disk = disk
        self._log_file = log_file
        self.accelerated = has_kvm(self._kind) if accelerate is None else accelerate
        self._on_line = on_line
        self._folder = tempfile.TemporaryDirectory(prefix="splitsight-machine-")
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = Worker("console", self._read, on_death=self._reader_died)
        self._lines: list[str] = []
        self._heard = threading.Condition()
        self._is_over = False

    def __enter__(self) -> Self:
        firmware = self._kind.firmware
        if not firmware.code.exists():
            raise ImageError(
                f"the firmware {firmware.code} is not installed",
                fix=f"apt-get install {firmware.package}, or `make image-tools`",
            )
        variables = Path(self._folder.name) / "variables.fd"
        shutil.copyfile(firmware.variables, variables)
        started = command(self._kind, self._disk, variables, accelerate=self.accelerated)
        # Whatever ends us ends it too: an emulator nobody waits for keeps a core busy for ever.
        self._process = subprocess.Popen(
            parent_guard.guarded(started),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader.start()
        log.info("machine_started", disk=str(self._disk), accelerated=self.accelerated)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        self._folder.cleanup()

    @property
    def lines(self) -> Sequence[str]:
        """What the console said so far."""
        with self._heard:
            return list(self._lines)

    def wait_for(self, said: str, timeout_s: float, *, after: int = 0) -> int:
        """Until a line of the console holds `said`; the number of the line behind it.

        after   lines to skip
        Raises ProcessError where it does not come in time, or the machine goes off.
        """
        position = after
        with self._heard:
            while True:
                while position < len(self._lines):
                    position += 1
                    if said in self._lines[position - 1]:
                        return position
                if self._is_over or not self._heard.wait(timeout_s):
                    break
        last = "\n  ".join(self.lines[-8:])
        what = "went off" if self._is_over else f"was silent for {timeout_s:.0f} s"
        raise ProcessError(
            f"the machine {what} without saying {said!r}; its last words:\n  {last}",
            fix=f"see {self._log_file}",
        )

    def wait(self, timeout_s: float) -> bool:
        """Until it switches itself off; False where it did not in that time."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def cut_power(self) -> None:
        """At once, as when a plug is pulled. May be called twice."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
        self._reader.stop(STOP_S)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with self._log_file.open("ab") as kept:
            for raw in process.stdout:
                kept.write(raw)
                kept.flush()
                line = raw.decode("utf-8", errors="replace").rstrip()
                with self._heard:
                    self._lines.append(line)
                    self._heard.notify_all()
                self._on_line(line)
        self._end()

    def _reader_died(self, _name: str, _error: BaseException) -> None:
        self._end()

    def _end(self) -> None:
        with self._heard:
            self._is_over = True
            self._heard.notify_all()
