"""The cloud's routes, called with made-up paths, queries and bodies: no answer is a 500."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller, access_to
from tests.cloud.web.test_api import BASE, healthy
from tests.cloud.web.test_requests import operations
from tests.support.databases import place_migrated


class HttpCalls:
    """The first byte chooses an operation, the fields behind it are divided by NULs: one for each
    parameter of path and query, the last is the body."""

    def __init__(self, folder: Path) -> None:
        database = Database(f"sqlite:///{place_migrated(Database, folder / 'records.db')}")
        RecordStore(database).save([inspection(1)], [tail(1)], [device()])
        stopping = threading.Event()
        # Else the stream of the live page would never end.
        stopping.set()
        clock = ManualClock(utc=NOON)
        access = access_to(database, clock)
        app = create_app(
            Backstage(database, healthy, clock=clock, stopping=stopping, access=access)
        )
        self._caller = Caller(app, BASE)
        self.operations = operations(app)

    def seeds(self) -> list[bytes]:
        """Each operation on something that is there."""
        named = {"device": "box-1", "boot": "b1", "sequence": "1"}
        made = []
        for place, (_, path, told) in enumerate(self.operations):
            fields = [named.get(name, "1") for name in _names(path, told)]
            body = '{"verdict": "reject", "kind": "crack", "inspector": "A. Rossi"}'
            made.append(bytes([place]) + "\0".join([*fields, body]).encode())
        return made

    def __call__(self, raw: bytes) -> None:
        method, path, told = self.operations[raw[0] % len(self.operations) if raw else 0]
        fields = raw[1:].decode("utf-8", "replace").split("\0")
        query: dict[str, str] = {}
        for name in _names(path, told):
            value = fields.pop(0) if fields else ""
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(value, safe="") or "-")
            elif value:
                query[name] = value
        options: dict[str, Any] = {"params": query}
        if method != "get":
            options["content"] = "\0".join(fields).encode()
            options["headers"] = {"content-type": "application/json"}
        answer = self._caller.request(method.upper(), path, **options)
        assert answer.status_code < 500, (method, path, query, answer.text)


def _names(path: str, told: dict[str, Any]) -> list[str]:
    in_path = [step[1:-1] for step in path.split("/") if step.startswith("{")]
    in_query = [one["name"] for one in told.get("parameters", ()) if one["in"] == "query"]
    return [*in_path, *in_query]
