"""The real cloud as a process of its own on loopback, for demos and scenarios."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hardware_sim.processes.child import Child, splitsight
from hardware_sim.processes.readiness import await_ready
from shared.errors import ProcessError

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
    """`splitsight cloud serve` with a broker that somebody else runs."""

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        *,
        port: int,
        broker_port: int,
        sections: Mapping[str, object] | None = None,
        name: str = "cloud",
        database: str = "",
        token: str | None = None,
    ) -> None:
        """port: of the API and the live page; sections: more of the configuration
        name: of its files; database: where its records are; empty: on SQLite in the folder
        token: to ask it with; None: it has no accounts
        """
        self.token = token
        self._port = port
        self.database = database or f"sqlite:///{folder / 'records.db'}"
        settings = {
            "bundles": [str(bundle.resolve())],
            "broker": {"port": broker_port},
            "embedded_broker": {"enabled": False},
            "database": self.database,
            "runtime": {"threads": 1},
            "api": {"port": port},
            **(sections or {}),
        }
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings, sort_keys=False))
        command = splitsight("cloud", "serve", "--config", str(config))
        self.child = Child(name, command, folder / f"{name}.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self.child.start()

    def wait_until_ready(self) -> None:
        """Raises ProcessError where it ended, or does not answer."""
        await_ready(self.child, lambda: self.answers)

    @property
    def answers(self) -> bool:
        """Whether it does its work."""
        return bool(self.ask("/api/v1/health"))

    def ask(self, path: str) -> object:
        """What the API answers, or None where it does not."""
        try:
            return ServedCloud(self.url, self.token).call("GET", path, timeout_s=2.0)
        except (OSError, ValueError):
            return None

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """What the API answers to this. Raises ProcessError where it refuses."""
        try:
            answered: dict[str, Any] = ServedCloud(self.url, self.token).call(
                "POST", path, body, timeout_s=30.0
            )
        except urllib.error.HTTPError as error:
            raise ProcessError(
                f"the cloud refused {path}: {error.read().decode(errors='replace')}",
                fix=f"its log is {self.child.log}",
            ) from error
        return answered
