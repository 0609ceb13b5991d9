"""A cloud, a line and a whole device in QEMU, each started by the commands that a user types."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fleet.flash.machine import QemuMachine
from hardware_sim.processes.child import Child, splitsight, stop_all
from shared.loopback import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
HOST = "10.0.2.2"
"""This machine, as QEMU's guests see it."""
SITE, LINE, DEVICE = "plant", "line-1", "box-1"
COMMAND_S = 1800.0
POLL_S = 1.0


def command(*words: object) -> Any:
    """Run one of our commands to its end; what it printed as JSON, if it did."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.commands", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else None


@dataclass
class Plant:
    """Everything beside the device. Times of what happened are kept for the log."""

    folder: Path
    bundle: Path
    children: list[Child] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.fleet = self.folder / "fleet"
        self.keys = self.folder / "keys"
        self.api, self.broker, self.secure, self.gateway, self.camera = (
            free_port() for _ in range(5)
        )
        self.url = f"http://127.0.0.1:{self.api}"

    def note(self, what: str) -> None:
        """One line of the test's own log."""
        with (self.folder / "steps.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.monotonic() - self.began:7.1f} s  {what}\n")

    def start(self) -> None:
        """The fleet is founded; cloud and line run."""
        made = command("fleet", "init", "--host", HOST, "--folder", self.fleet, "--format", "json")
        command("fleet", "release", "init", "--keys", self.keys, "--folder", self.fleet)
        secure = {**made["secure"], "host": "127.0.0.1", "port": self.secure}
        config = self.folder / "cloud.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "bundles": [str(self.bundle)],
                    "broker": {"port": self.broker},
                    "embedded_broker": {"kind": "mosquitto", "secure": secure},
                    "database": f"sqlite:///{self.folder / 'records.db'}",
                    "api": {"port": self.api},
                    "fleet": {
                        "folder": str(self.fleet),
                        "gateway": {"host": "127.0.0.1", "port": self.gateway},
                    },
                }
            )
        )
        self._child("cloud", "cloud", "serve", "--config", config)
        belt = ["--data", "elpv", "--speed", "0.06", "--pitch", "0.3", "--parts", "100000"]
        self._child("line", "sim", "line", *belt, "--rtsp", f"127.0.0.1:{self.camera}")
        self.until(60, "the cloud answers", lambda: self.rows("devices") is not None)

    def stop(self) -> None:
        stop_all(self.children)

    def site(self) -> Path:
        """The device's configuration, with a claim's place and everything over the air."""
        path = self.folder / "site.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "site": SITE,
                    "line": LINE,
                    "device": DEVICE,
                    "bundle": "/usr/share/splitsight/bundle",
                    "broker": {"host": HOST, "port": self.secure},
                    "identity": {
                        "folder": "/data/splitsight/identity",
                        "gateway": f"https://{HOST}:{self.gateway}",
                        "ca": "ca.pem",
                        "claim_file": "claim",
                    },
                    "updates": {
                        "folder": "/data/splitsight/updates",
                        "root": "root.json",
                        "report_s": 2,
                        "image": {},
                    },
                    "camera": {
                        "kind": "rtsp",
                        "url": f"rtsp://{HOST}:{self.camera}/line",
                        # An emulated core needs more than a second for a part.
                        "every_ms": 3000,
                    },
                    "frozen_after": 0,
                    "actuator": {"kind": "log"},
                    "deadline_ms": 20000,
                    "journal": {"path": "/data/splitsight/journal.db"},
                },
                sort_keys=False,
            )
        )
        (self.folder / "ca.pem").write_bytes((self.fleet / "authority/ca.pem").read_bytes())
        first = self.fleet / "repository/metadata/1.root.json"
        (self.folder / "root.json").write_bytes(first.read_bytes())
        return path

    def claim(self) -> str:
        where = ("--site", SITE, "--line", LINE, "--device", DEVICE, "--cloud", self.url)
        return str(command("fleet", "claim", *where, "--format", "json")["token"])

    def release(self, bundle: Path) -> str:
        """Published as a user does it; the target's path."""
        given = ("--model", bundle, "--folder", self.fleet)
        word = ("--approved-by", "test", "--why", "one of them shall be given up")
        facts = command("fleet", "release", "add", *given, *word, "--format", "json")
        key = self.keys / "models.pem"
        command("fleet", "release", "sign", "--key", key, "--folder", self.fleet)
        command("fleet", "release", "publish", "--folder", self.fleet, "--cloud", self.url)
        return str(facts["path"])

    def roll_out(self, target: str, *, shadow_parts: int = 5, health_s: int = 20) -> int:
        plan = self.folder / "plan.yaml"
        plan.write_text(
            yaml.safe_dump(
                {
                    "rings": [{"name": "all", "share": 1.0}],
                    "shadow_parts": shadow_parts,
                    "health_s": health_s,
                    "silent_s": 900,
                }
            )
        )
        words = ("--plan", plan, "--by", "test", "--cloud", self.url, "--format", "json")
        return int(command("fleet", "rollout", "start", target, *words)["id"])

    def device(self) -> dict[str, Any]:
        """What the fleet knows of the device's health; empty where it was not heard of yet."""
        rows: list[dict[str, Any]] = self.rows("fleet/health") or []
        return next((row for row in rows if row["device"] == DEVICE), {})

    def presence(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.rows("devices") or []
        return next((row for row in rows if row["device"] == DEVICE), {})

    def rows(self, path: str) -> Any:
        import httpx

        try:
            answer = httpx.get(f"{self.url}/api/v1/{path}", timeout=10)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def until(
        self,
        timeout_s: float,
        what: str,
        holds: Callable[[], bool],
        machine: QemuMachine | None = None,
    ) -> None:
        """Wait for it, and note when it came."""
        try:
            wait_until(holds, what, within_s=timeout_s, pause_s=POLL_S)
        except AssertionError as error:
            last = "\n".join(machine.lines[-15:]) if machine else ""
            raise AssertionError(f"{error}\n{last}") from None
        self.note(what)

    def _child(self, name: str, *words: object) -> None:
        child = Child(name, splitsight(*map(str, words)), self.folder / f"{name}.log")
        child.start()
        self.children.append(child)
