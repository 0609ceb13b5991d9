"""The tails that run now: opened at the start, and added or dropped while devices change models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from cloud.inference.tail import LoadedTail, open_tail, open_tails
from shared.bundles.bundle import Bundle
from shared.log import get_logger
from shared.plugins.services import ServedTail
from shared.runtime.settings import RuntimeSettings

log = get_logger("rack")


def _certified(bundle: Bundle) -> str:
    """When; times as the manifest keeps them order as texts."""
    certificate = bundle.manifest.certificate
    return certificate.created if certificate else ""


class TailRegistry(Mapping[str, LoadedTail]):
    """Tails by the pair id that an escalation names; a `shared.plugins.services.ServedTails`.

    A reader sees all of a change or nothing of it. Raises what `open_tails` raises.
    """

    def __init__(self, paths: Sequence[Path], runtime: RuntimeSettings, max_batch: int = 8) -> None:
        """max_batch: parts that run together at most"""
        self._runtime = runtime
        self._max_batch = max_batch
        self._tails: Mapping[str, LoadedTail] = open_tails(paths, runtime, max_batch)
        self._changing = threading.Lock()
        self._listeners: list[Callable[[Collection[str]], object]] = []

    def __getitem__(self, pair: str) -> LoadedTail:
        return self._tails[pair]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tails)

    def __len__(self) -> int:
        return len(self._tails)

    def on_change(self, listener: Callable[[Collection[str]], object]) -> None:
        """Call `listener` with the pairs that are served from now on: after one is added, before
        one is dropped."""
        self._listeners.append(listener)

    def snapshot(self) -> Sequence[LoadedTail]:
        """All at one moment, whatever is added or dropped meanwhile."""
        return list(self._tails.values())

    def served(self) -> Sequence[ServedTail]:
        """Every tail that answers escalations now."""
        return [ServedTail(pair, tail.bundle.id) for pair, tail in self._tails.items()]

    def serve(self, path: Path) -> ServedTail:
        """Open, check and serve a bundle's tail. One of its pair that is served already stays,
        unless this was certified later: the same tail with another gate, promise or novelty.

        Raises BundleError, ParityError or RuntimeUnavailable; then nothing has changed.
        """
        bundle = Bundle.open(path)
        with self._changing:
            pair = bundle.manifest.pair
            held = self._tails.get(pair)
            if held is None or _certified(bundle) > _certified(held.bundle):
                tail = open_tail(bundle, self._runtime, self._max_batch)
                self._tails = {**self._tails, pair: tail}
                self._tell(self._tails)
                log.info("tail_added", pair=pair, bundle=bundle.id)
            return ServedTail(pair, self._tails[pair].bundle.id)

    def drop(self, pair: str) -> None:
        """Serve this pair no longer; its escalations are left to their devices' deadlines."""
        with self._changing:
            if pair in self._tails:
                left = {p: tail for p, tail in self._tails.items() if p != pair}
                self._tell(left)
                self._tails = left
                log.info("tail_dropped", pair=pair)

    def lacking(self, pair: str) -> Sequence[str]:
        """As where there is no other worker; see `cloud.inference.roster.RosteredTails`."""
        return () if pair in self else [f"nothing serves the tail of pair {pair}"]

    def _tell(self, pairs: Collection[str]) -> None:
        for listener in self._listeners:
            listener(pairs)
