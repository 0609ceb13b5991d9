"""Head and tail belong together: no model is let out whose tail the cloud has not got."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from tuf.api.metadata import Metadata, Targets

from fleet.releases.store import ReleaseStore
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.errors import BundleError, ReleaseError
from shared.releases import ReleaseFacts


def carries_tail(path: Path, pair: str) -> bool:
    """Whether a payload is a bundle of this pair, with its tail as promised."""
    try:
        bundle = Bundle.open(path)
        bundle.read(TAIL)
    except BundleError:
        return False
    return bundle.manifest.pair == pair


def require_tails(
    store: ReleaseStore, holders: Iterable[Metadata[Targets]], served: Collection[str]
) -> None:
    """Raises ReleaseError for a model whose tail is neither in a release nor served already."""
    lacking: dict[str, str] = {}
    carried = set(served)
    for holder in holders:
        for path, target in holder.signed.targets.items():
            if is_delta(target.custom):
                continue
            facts = ReleaseFacts.of(path, target.custom)
            if facts.kind != "model" or facts.pair in carried:
                continue
            if carries_tail(store.payload(target), facts.pair):
                carried.add(facts.pair)
            else:
                lacking[path] = facts.pair
    for path, pair in lacking.items():
        if pair not in carried:
            raise ReleaseError(
                f"{path} holds no tail of its pair {pair}, and nothing else does",
                fix="add a bundle with head and tail of this pair, or serve it in `cloud.yaml`",
            )


def is_delta(custom: object) -> bool:
    return isinstance(custom, dict) and "delta" in custom
