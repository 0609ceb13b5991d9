"""What pages and routes cost with a million inspections behind them, on either database."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from fastapi import FastAPI

from cloud.app import create_app
from cloud.health.monitor import BrokerHealth, DatabaseHealth, QueueHealth, ServiceHealth
from cloud.records.database import Database
from cloud.records.rollup_worker import RollupWorker
from cloud.web.context import Backstage
from cloud.web.http_server import HttpServer
from hardware_sim.processes.postgresql import PostgresqlServer
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.console import err
from shared.loopback import free_port
from shared.web.access import TOKEN_SCOPES
from shared.web.roles import stated
from shared.worker import DeadWorkers
from tests.bench.dashboard_past import ALERTS_KEPT, LABEL_EVERY, fill, key_of, size_of
from tests.cloud.makers import NOON
from tests.cloud.web.caller import access_to
from tests.cloud.web.test_access import ROOT, SECRET, fleet_of

PARTS, FEW = 1_000_000, 10_000
TRIES = 20
WANTED_MS = 150.0
# Longer than what a page keeps of its last rendering: each request renders anew.
BETWEEN_S = 30.0
LOOK_S, MOST_LOOKS = 0.02, 250
PART = "/".join(map(str, key_of(PARTS // 2)))
LABELLED = "/".join(map(str, key_of(PARTS // 2 // LABEL_EVERY * LABEL_EVERY)))
NEWEST = "/".join(map(str, key_of(PARTS)))
# By what stands in their places, in this order.
PLACES = {
    "labels/{number}/drawing.png": "labels/1/drawing.png",
    "{device}/{boot}/{sequence}": PART,
    "{site}/{line}": "plant/line-1",
    "alerts/{number}": f"alerts/{ALERTS_KEPT - 1:032x}",
    "accounts/{name}": "accounts/ada",
}
# Path and why it is not timed.
LEFT_OUT = {
    "/events": "it never ends; `tests.bench viewers` has it",
    "/wall/events": "it never ends",
    "/sign-out": "it ends the caller's session",
    "/api/v1/inspections/{device}/{boot}/{sequence}/picture": "a box answers: see `pictures`",
    "/api/v1/inspections/{device}/{boot}/{sequence}/heat.png": "a box answers: see `pictures`",
    "/first-account/{secret}": "a link that lives an hour; it reads one row",
    "/password/{secret}": "a link that lives an hour; it reads one row",
}
ASKED = (
    "?line=line-2",
    "?device=box-1-1&verdict=reject",
    "?lot=lot-3",
    "?lot=none",
    "?verdict=review",
    "?decided_by=deadline",
    "?kind=crack",
    "?kind=rare",
    "?score_from=0.999&decided_by=edge",
    "?reviewed=true",
    "?to_review=true",
    "?control=true",
    "?part_from=500000&part_to=500010",
    "?bundle=tiny+1.0.0&escalated=true",
    "?when=today",
    "?when=week&line=line-1&verdict=pass",
)
# What these can be asked for beside nothing, or have to be.
MORE = {
    "/": ("?line=line-2", "?before="),
    "/parts": ASKED,
    "/api/v1/inspections": tuple(one for one in ASKED if "when" not in one),
    "/api/v1/parts.csv": ("?line=line-2", "?kind=rare"),
    "/quality": ("?days=90", "?days=90&by=lot", "?days=14&by=shift&line=line-2", "?by=recipe"),
    "/shift": ("?line=line-2",),
    "/cost": ("?days=1", "?days=90"),
    "/review": ("?view=grid", "?line=line-2&kind=crack", f"?item={PART}"),
    "/review/item": (f"?item={PART}",),
    "/review/take": ("?line=line-2",),
    "/thresholds": ("?parts=labelled", "?parts=controls"),
    "/thresholds/outcome": ("?pass_below=0.1&reject_from=0.9",),
    "/audit": ("?who=ada", "?what=picture", "?subject=box-1-1"),
    "/api/v1/audit": ("?before=100",),
    "/alerts": ("?line=line-2",),
    "/drift": ("?line=line-2",),
}
# Without these they answer that something is missing.
ASKED_ONLY = {"/review/item", "/thresholds/outcome"}
Row = dict[str, object]


def measure(bundle: Path, folder: Path) -> list[Row]:
    """Of each database: the slowest routes and what the live page costs beside FEW rows.

    What is filled is left in `folder`, and used again where it is there.
    """
    urls = [f"sqlite:///{folder / name}.db" for name in ("many", "few")]
    rows = _measured("SQLite", urls, folder, Bundle.open(bundle), lambda: 0.0)
    server = PostgresqlServer(free_port(), folder / "postgresql")
    server.start()
    try:
        urls = [server.create("many"), server.create("few")]
        opened = Bundle.open(bundle)
        return [*rows, *_measured("PostgreSQL", urls, folder, opened, cpu_of(server.pid))]
    finally:
        server.close()


def _measured(
    name: str, urls: list[str], folder: Path, bundle: Bundle, more_cpu: Callable[[], float]
) -> list[Row]:
    databases = [Database(url) for url in urls]
    rows: list[Row] = []
    try:
        for database, size in zip(databases, (PARTS, FEW), strict=True):
            rows += _filled(name, database, size, bundle)
        with served(databases[0], folder, bundle, more_cpu) as site:
            rows += [_row(name, path, site.timed(path)) for path in paths(site.app)]
        for path in ("/", "/wall"):
            here = []
            for database in databases:
                with served(database, folder, bundle, more_cpu) as site:
                    here.append(site.timed(path).cpu)
            rows.append(_row(name, path, None, f"× the CPU that it takes with {FEW:,} parts"))
            rows[-1]["cpu"] = f"{here[0] / here[1]:.2f}"
        return [
            *rows,
            *(_row(name, path, None, f"left out: {LEFT_OUT[path]}") for path in LEFT_OUT),
        ]
    finally:
        for database in databases:
            database.close()


def _filled(name: str, database: Database, size: int, bundle: Bundle) -> list[Row]:
    if size_of(database) == size:
        return []
    err.print(f"filling {name} with {size:,} parts")
    begun = time.perf_counter()
    fill(database, size, f"{bundle.manifest.name} {bundle.manifest.version}")
    filled = time.perf_counter()
    RollupWorker(database, ManualClock(utc=NOON), DeadWorkers()).roll()
    rolled = time.perf_counter()
    return [
        _row(name, f"{size:,} parts written", None, f"{filled - begun:.3g} s"),
        _row(name, f"{size:,} parts rolled up", None, f"{rolled - filled:.3g} s"),
    ]


@dataclass(frozen=True, slots=True)
class Timing:
    """wall: milliseconds until the first bytes of each answer's body; cpu: of one, on average, of
    the cloud, its database and the caller together
    """

    wall: list[float]
    cpu: float
    status: int

    @property
    def p95(self) -> float:
        return float(np.percentile(self.wall, 95))


def _row(name: str, what: str, timing: Timing | None, note: str = "") -> Row:
    row: Row = {"database": name, "what": what, "median": "", "p95": "", "cpu": "", "over": ""}
    if timing is not None:
        row |= {
            "median": f"{np.median(timing.wall):.0f} ms",
            "p95": f"{timing.p95:.0f} ms",
            "cpu": f"{timing.cpu:.0f} ms",
            "over": "!" if timing.p95 > WANTED_MS else "",
        }
        note = "" if timing.status == 200 else f"answers {timing.status}"
    return {**row, "note": note}


class ForwardClock(ManualClock):
    """Goes on by itself, so that what is bounded in time is, and can be put forward; its minute is
    another one at each request, and never far from NOON."""

    def __init__(self) -> None:
        super().__init__(utc=NOON)
        self._requests = 0

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic()

    def utc(self) -> float:
        return super().utc() + 5.0 + 60.0 * (self._requests % 2)

    def next_request(self) -> None:
        self._monotonic += BETWEEN_S
        self._requests += 1


class Site:
    """The app over a socket, for somebody who may see everything."""

    def __init__(
        self, app: FastAPI, client: httpx.Client, clock: ForwardClock, cpu: Callable[[], float]
    ) -> None:
        self.app = app
        self._client = client
        self._clock = clock
        self._cpu = cpu

    def timed(self, path: str) -> Timing:
        """Of TRIES requests, after one that is not counted: what is made once is made."""
        self._get(path)
        begun, wall, status = self._cpu(), list[float](), 0
        for _ in range(TRIES):
            took, status = self._get(path)
            wall.append(took)
        return Timing(wall, (self._cpu() - begun) * 1000 / TRIES, status)

    def _get(self, path: str) -> tuple[float, int]:
        self._clock.next_request()
        begun = time.perf_counter()
        with self._client.stream("GET", path) as response:
            body = response.iter_raw()
            next(body, b"")
            took = (time.perf_counter() - begun) * 1000
            if response.headers.get("content-type", "").startswith("text/html"):
                # A page is read to its end; of a file with a million parts the beginning does.
                for _ in body:
                    pass
        self._rest()
        return took, response.status_code

    def _rest(self) -> None:
        """Of a file that nobody reads on, the cloud still makes the next piece: not beside the
        answer that is timed next."""
        for _ in range(MOST_LOOKS):
            before = time.process_time()
            time.sleep(LOOK_S)
            if time.process_time() - before < LOOK_S / 10:
                return


@contextmanager
def served(
    database: Database, folder: Path, bundle: Bundle, more_cpu: Callable[[], float] = lambda: 0.0
) -> Iterator[Site]:
    """The app with its fleet over a socket."""
    clock = ForwardClock()
    access = access_to(database, clock)
    if not access.accounts.all():
        access.accounts.add("ada", "admin", SECRET, ROOT)
    token = access.tokens.add("ada", "a measurement", TOKEN_SCOPES, ROOT)
    shutil.rmtree(folder / "fleet", ignore_errors=True)
    fleet = fleet_of(folder / "fleet", clock)
    fleet.start()
    bundles = [bundle]
    backstage = Backstage(
        database,
        _healthy,
        clock=clock,
        services=[fleet],
        access=access,
        bundles=lambda: bundles,
        serves=lambda: {bundle.id: bundle.manifest.certificate},
    )
    app = create_app(backstage)
    server = HttpServer(app, "127.0.0.1", 0, DeadWorkers())
    server.start()
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=server.url, timeout=60.0, headers=headers) as client:
            yield Site(app, client, clock, lambda: time.process_time() + more_cpu())
    finally:
        server.stop()
        fleet.stop()


def paths(app: FastAPI) -> list[str]:
    """Every route that can be got, as a caller would; some with what they may be asked for."""
    found = []
    for method, stated_path, _ in stated(app.routes):
        path = stated_path.replace("/api/", "/api/v1/", 1)
        if method != "GET" or path in LEFT_OUT:
            continue
        for pattern, value in PLACES.items():
            if pattern in path:
                key = LABELLED if "labels/" in pattern else ""
                path = path.replace(pattern, value).replace("{device}/{boot}/{sequence}", key)
        own = [] if path in ASKED_ONLY else [path]
        found += [*own, *(f"{path}{asked}" for asked in MORE.get(path, ()))]
    return list(dict.fromkeys(found))


def cpu_of(pid: int | None) -> Callable[[], float]:
    """Seconds that a process and its children have taken."""

    def taken() -> float:
        process = psutil.Process(pid)
        everyone = [process, *process.children(recursive=True)]
        return float(sum(sum(one.cpu_times()[:2]) for one in everyone))

    return taken


def _healthy() -> ServiceHealth:
    return ServiceHealth(
        ok=True,
        problems=[],
        broker=BrokerHealth(connected=True, address="127.0.0.1:1883", embedded=True),
        database=DatabaseHealth(answers=True, url="sqlite://", waiting=0, let_go=0),
        tails=[],
        queue=QueueHealth(waiting=0, dropped=0),
        counts={},
    )
