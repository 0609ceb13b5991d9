"""The registry: every release with where it comes from, what it promises and who let it out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tuf.api.metadata import TargetFile, Targets

from fleet.releases.pairs import carries_tail, is_delta
from fleet.releases.roles import HOLDERS, MODELS
from fleet.releases.store import ReleaseStore
from shared.bundles import leakage
from shared.bundles.bundle import Bundle
from shared.certification import promises
from shared.errors import BundleError
from shared.releases import ReleaseFacts

Stage = Literal["published", "draft", "removed in draft"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A patch. base: the version that it starts from; empty where that is no release any more."""

    path: str
    base: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Promises:
    """What a model's manifest says of itself, in words."""

    certificate: str
    leakage: str
    created: str
    carries_tail: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A release.

    stage     what devices see, or only the next publication will change
    promises  of a model whose payload lies here
    """

    facts: ReleaseFacts
    stage: Stage
    bytes: int
    sha256: str
    deltas: tuple[Delta, ...]
    promises: Promises | None

    @property
    def path(self) -> str:
        return self.facts.path


@dataclass(frozen=True, slots=True)
class ModelPayload:
    """A bundle that lies here. release: the published target; empty where it was removed."""

    path: Path
    pair: str
    bundle: str
    release: str


class Catalogue:
    """Reads releases from the repository's files; nothing is kept that they don't say."""

    def __init__(self, store: ReleaseStore) -> None:
        self._store = store

    def entries(self) -> list[Entry]:
        """Every release, the newest of each name first."""
        found: list[Entry] = []
        for role in HOLDERS:
            published = self._store.published(role, Targets).signed
            waiting = self._store.waiting(role, Targets)
            drafted = waiting.signed if waiting else published
            for path in {**published.targets, **drafted.targets}:
                holder = drafted if path in drafted.targets else published
                if not is_delta(holder.targets[path].custom):
                    found.append(self._entry(path, holder, _stage(path, published, drafted)))
        return sorted(found, key=lambda e: (e.facts.kind, e.facts.name, -e.facts.counter))

    def versions(self, model: str) -> set[str]:
        """Those of a model that are published or drafted; of none where there is no repository."""
        if not self._store.exists:
            return set()
        waiting = self._store.waiting(MODELS, Targets)
        holders = [self._store.published(MODELS, Targets), *([waiting] if waiting else ())]
        found = (
            ReleaseFacts.of(path, target.custom)
            for holder in holders
            for path, target in holder.signed.targets.items()
            if not is_delta(target.custom)
        )
        return {facts.version for facts in found if facts.name == model}

    def models(self) -> list[ModelPayload]:
        """Every model whose payload lies here, published ones first.

        Payloads of removed releases stay: a device may still run such a head.
        """
        if not self._store.exists:
            return []
        published = {
            self._store.payload(target): path
            for path, target in self._store.published(MODELS, Targets).signed.targets.items()
            if not is_delta(target.custom)
        }
        others = set(self._store.targets.glob("models/*/*.zip")) - set(published)
        found = (_model(path) for path in (*published, *sorted(others)))
        return [
            ModelPayload(path, *ids, published.get(path, ""))
            for path, ids in zip((*published, *sorted(others)), found, strict=True)
            if ids is not None
        ]

    def _entry(self, path: str, holder: Targets, stage: Stage) -> Entry:
        target = holder.targets[path]
        facts = ReleaseFacts.of(path, target.custom)
        known = {
            t.hashes["sha256"]: ReleaseFacts.of(p, t.custom)
            for p, t in holder.targets.items()
            if not is_delta(t.custom)
        }
        # The newest base first; JSON keeps no order.
        bases = sorted(facts.deltas, key=lambda b: known[b].counter if b in known else 0)
        deltas = tuple(
            Delta(where, known[base].version if base in known else "", holder.targets[where].length)
            for base in reversed(bases)
            if (where := facts.deltas[base]) in holder.targets
        )
        return Entry(
            facts, stage, target.length, target.hashes["sha256"], deltas, self._promises(target)
        )

    def _promises(self, target: TargetFile) -> Promises | None:
        payload = self._store.payload(target)
        return _promises(payload) if payload.suffix == ".zip" and payload.exists() else None


def described(entry: Entry) -> dict[str, Any]:
    """One release as a program reads it."""
    fields = entry.facts.model_dump(mode="json", exclude={"deltas"})
    return {
        "path": entry.path,
        "stage": entry.stage,
        **fields,
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "deltas": [asdict(delta) for delta in entry.deltas],
        "promises": asdict(entry.promises) if entry.promises else None,
    }


@lru_cache(maxsize=256)
def _promises(payload: Path) -> Promises | None:
    """The file's name holds its sha256, so that it never says something else."""
    try:
        manifest = Bundle.open(payload).manifest
    except BundleError:
        return None
    return Promises(
        promises.describe(manifest.certificate),
        leakage.describe(manifest.leakage),
        manifest.created,
        carries_tail(payload, manifest.pair),
    )


@lru_cache(maxsize=1024)
def _model(payload: Path) -> tuple[str, str] | None:
    """Pair and bundle id."""
    try:
        bundle = Bundle.open(payload)
    except BundleError:
        return None
    return bundle.manifest.pair, bundle.id


def _stage(path: str, published: Targets, drafted: Targets) -> Stage:
    if path not in published.targets:
        return "draft"
    return "published" if path in drafted.targets else "removed in draft"
