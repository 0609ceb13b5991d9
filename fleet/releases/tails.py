"""Which tails the cloud has to serve, and which it may drop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet.releases.catalogue import Catalogue
from shared.errors import SplitsightError
from shared.log import get_logger
from shared.plugins.services import ServedTails
from shared.topics import Address, everyone
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import StateMessage

log = get_logger("tails")

Running = Callable[[], Mapping[str, str]]
"""The bundle id of the model that each device runs, by device."""


@dataclass(frozen=True, slots=True)
class TailState:
    """A tail that is served, or should be.

    devices    those that run its head now
    release    path of a published release that needs it; empty where none does
    droppable  no device and no release needs it
    problem    why it can't be served; empty where it is
    """

    pair: str
    bundle: str
    devices: tuple[str, ...]
    release: str
    droppable: bool
    problem: str = ""


class RunningModels:
    """What each device last said that it runs; from its retained state."""

    def __init__(self) -> None:
        self._bundles: dict[str, str] = {}
        self._changing = threading.Lock()

    def listen(self, transport: Transport) -> None:
        subscribe(transport, everyone("state"), StateMessage, self._take, cleared=self._forget)

    def __call__(self) -> Mapping[str, str]:
        with self._changing:
            return dict(self._bundles)

    def _take(self, arrival: Arrival[StateMessage]) -> None:
        if arrival.message.bundle:
            # One that is offline comes back with what it had; its will may not say what.
            with self._changing:
                self._bundles[arrival.address.device] = arrival.message.bundle

    def _forget(self, address: Address) -> None:
        """Its state was cleared: the device is no more."""
        with self._changing:
            self._bundles.pop(address.device, None)


class Tails:
    """Keeps the rack in step with what is published and what devices run.

    running   asked whenever somebody wants to know
    """

    def __init__(self, catalogue: Catalogue, rack: ServedTails, running: Running) -> None:
        self._catalogue = catalogue
        self._rack = rack
        self._running = running
        self._problems: dict[str, str] = {}
        self._offered: set[str] = set()

    def serve(self) -> None:
        """Open the tail of every model that is published or that a device runs.

        One that fails keeps no other away.
        """
        running = self._rack.served()
        served = {tail.pair for tail in running}
        known = {tail.bundle for tail in running} | self._offered
        live = set(self._running().values())
        problems: dict[str, str] = {}
        for model in self._catalogue.models():
            # A bundle that was certified anew has the pair of the one before.
            if (model.pair in served and model.bundle in known) or not (
                model.release or model.bundle in live
            ):
                continue
            try:
                served.add(self._rack.serve(model.path).pair)
            except SplitsightError as error:
                # Where its pair is served, that goes on with the bundle that was certified before.
                problems[model.bundle if model.pair in served else model.pair] = str(error)
            else:
                self._offered.add(model.bundle)
        # Another release of the same pair may have brought what one lacks.
        for name, problem in problems.items():
            if name not in served and self._problems.get(name) != problem:
                log.error("tail_not_served", of=name, error=problem)
        self._problems = {p: text for p, text in problems.items() if p not in served}

    def states(self) -> list[TailState]:
        """Every tail that is served or should be, those that may be dropped last."""
        served = {tail.pair: tail.bundle for tail in self._rack.served()}
        models = self._catalogue.models()
        releases = {m.pair: m.release for m in reversed(models) if m.release}
        pairs = {m.bundle: m.pair for m in models} | {b: p for p, b in served.items()}
        bundles = {m.pair: m.bundle for m in models} | served
        devices: dict[str, list[str]] = {}
        lost: dict[str, list[str]] = {}
        for device, bundle in sorted(self._running().items()):
            found = devices if bundle in pairs else lost
            found.setdefault(pairs.get(bundle, bundle), []).append(device)
        rows = [
            TailState(
                pair,
                bundles[pair],
                devices=tuple(devices.get(pair, ())),
                release=releases.get(pair, ""),
                droppable=pair not in devices and pair not in releases,
                problem="" if pair in served else self._problems.get(pair, "not served yet"),
            )
            for pair in {**served, **dict.fromkeys((*releases, *devices))}
        ]
        strange = "no release here is this bundle, so its tail is not known"
        rows += [
            TailState("", b, tuple(who), "", droppable=False, problem=strange)
            for b, who in lost.items()
        ]
        return sorted(rows, key=lambda row: (row.droppable, row.release, row.pair, row.bundle))
