"""The real cloud as a process of its own on loopback, for demos and scenarios."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hardware_sim.processes.child import Child, splitsight
from shared.errors import ProcessError

READY_TIMEOUT_S = 60.0
POLL_S = 0.25
TIMEOUT_S = 5.0


class ServedCloud:
    """The HTTP API of a cloud.

    url     say http://127.0.0.1:8000
    token   that the API wants; None where it wants none
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """What it answers. Raises OSError where it does not, or refuses."""
        request = urllib.request.Request(  # noqa: S310 - http only: we start the servers
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            self._headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return json.load(answer)


class CloudProcess:
    """`splitsight cloud serve` on SQLite in a folder, with a broker that somebody else runs."""

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        *,
        port: int,
        broker_port: int,
        sections: Mapping[str, object] | None = None,
    ) -> None:
        """port: of the API and the live page; sections: more of the configuration"""
        self._folder = folder
        self._port = port
        settings = {
            "bundles": [str(bundle.resolve())],
            "broker": {"port": broker_port},
            "embedded_broker": {"enabled": False},
            "database": self.database,
            "runtime": {"threads": 1},
            "api": {"port": port},
            **(sections or {}),
        }
        config = folder / "cloud.yaml"
        config.write_text(yaml.safe_dump(settings, sort_keys=False))
        command = splitsight("cloud", "serve", "--config", str(config))
        self.child = Child("cloud", command, folder / "cloud.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def database(self) -> str:
        return f"sqlite:///{self._folder / 'records.db'}"

    def start(self) -> None:
        self.child.start()

    def wait_until_ready(self) -> None:
        """Raises ProcessError where it ended, or does not answer."""
        give_up = time.monotonic() + READY_TIMEOUT_S
        while not self.answers:
            if self.child.exit_code is not None:
                raise self.child.failure()
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"the cloud did not answer at {self.url} within {READY_TIMEOUT_S:.0f} s",
                    fix=f"its log is {self.child.log}",
                )
            threading.Event().wait(POLL_S)

    @property
    def answers(self) -> bool:
        """Whether it does its work."""
        return bool(self.ask("/api/health"))

    def ask(self, path: str) -> object:
        """What the API answers, or None where it does not."""
        try:
            return ServedCloud(self.url).call("GET", path, timeout_s=2.0)
        except (OSError, ValueError):
            return None

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """What the API answers to this. Raises ProcessError where it refuses."""
        try:
            answered: dict[str, Any] = ServedCloud(self.url).call(
                "POST", path, body, timeout_s=30.0
            )
        except urllib.error.HTTPError as error:
            raise ProcessError(
                f"the cloud refused {path}: {error.read().decode(errors='replace')}",
                fix=f"its log is {self.child.log}",
            ) from error
        return answered
