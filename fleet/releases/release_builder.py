"""What a release is made of: payload, facts, and patches from the versions before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.metadata import TargetFile, Targets

from fleet.releases.deltas import make_delta
from fleet.releases.drafts import Drafts
from fleet.releases.evidence import LONGEST_NAME, LONGEST_REASON, require_short
from fleet.releases.pairs import is_delta
from fleet.releases.roles import HOLDERS, role_of
from shared.bundles.bundle import Bundle, pack_bundle
from shared.bundles.manifest import TAIL
from shared.errors import ReleaseError
from shared.releases import ReleaseFacts, ReleaseKind

DELTAS = 3
COUNTERS = "splitsight-counters"
"""Signed with the role, so that a counter is not given twice after a release was removed."""
MAGIC = {"app": b"\x28\xb5\x2f\xfd", "image": b"hsqs"}
NAMES = {"app": "a tar packed with zstd", "image": "a squashfs"}
T = TypeVar("T")
Watch = Callable[[Sequence[T], str], Iterable[T]]


def unwatched(items: Sequence[T], _what: str) -> Iterable[T]:
    return items


@dataclass(frozen=True, slots=True)
class ReleaseNote:
    """What people say of a release.

    hardware   machine names that it fits
    parent, round   where a model comes from, where its manifest does not say
    why        why a model goes out that lacks a certificate or a measurement
    Raises ReleaseError for a name or a reason that is too long to be kept.
    """

    hardware: tuple[str, ...]
    approved_by: str = ""
    parent: str = ""
    round: int | None = None
    why: str = ""

    def __post_init__(self) -> None:
        require_short("the name of who lets it out", self.approved_by, LONGEST_NAME)
        require_short("the reason", self.why, LONGEST_REASON)


class Adding:
    """Adds releases to the drafts and takes them out.

    watch   wraps what takes long, for a progress bar
    """

    def __init__(
        self, drafts: Drafts, *, deltas: int = DELTAS, watch: Watch[Any] = unwatched
    ) -> None:
        self._drafts = drafts
        self._store = drafts.store
        self._deltas = deltas
        self._watch = watch

    def add_model(
        self, bundle: Bundle, word: ReleaseNote, *, without_tail: bool = False
    ) -> ReleaseFacts:
        """Raises BundleError for a bundle that does not hold together, ReleaseError for the rest.

        without_tail   leaves out what only the cloud needs; it must have the pair from elsewhere
        """
        manifest = bundle.manifest
        options = manifest.training.options
        with self._changing() as scratch:
            packed = pack_bundle(
                bundle, scratch / "bundle.zip", without=(TAIL,) if without_tail else ()
            )
            return self._add(
                packed.path,
                word,
                kind="model",
                name=manifest.name,
                version=manifest.version,
                pair=manifest.pair,
                bundle=bundle.id,
                licence=manifest.training.data_licence[:200],
                data_hash=manifest.training.data_hash,
                parent=word.parent or str(options.get("parent", "")),
                round=word.round if word.round is not None else options.get("round"),
            )

    def add_file(
        self, kind: ReleaseKind, path: Path, name: str, version: str, word: ReleaseNote
    ) -> ReleaseFacts:
        """An application or a disk image. Raises ReleaseError for a file of another kind."""
        try:
            with path.open("rb") as stream:
                start = stream.read(4)
        except OSError as error:
            raise ReleaseError(f"{path} can't be read ({error})", fix="check the path") from error
        if start != MAGIC[kind]:
            raise ReleaseError(f"{path} is not {NAMES[kind]}", fix=f"give {NAMES[kind]}")
        with self._changing():
            return self._add(path, word, kind=kind, name=name, version=version)

    def remove(self, path: str) -> None:
        """Take a release and its patches out of the draft. Its payload stays: devices may run it.

        Raises ReleaseError where there is none.
        """
        with self._store.changing():
            for role in HOLDERS:
                draft = self._drafts.holder(role)
                targets = draft.signed.targets
                if path in targets and not is_delta(targets[path].custom):
                    facts = ReleaseFacts.of(path, targets.pop(path).custom)
                    for delta in facts.deltas.values():
                        targets.pop(delta, None)
                    self._drafts.stage(role, draft)
                    return
        raise ReleaseError(
            f"{path} is not among the releases", fix="see `splitsight fleet release list`"
        )

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """One writer, and a folder beside the drafts that is empty again afterwards."""
        with (
            self._store.changing(),
            tempfile.TemporaryDirectory(dir=self._store.staged.parent) as scratch,
        ):
            yield Path(scratch)

    def _add(
        self,
        payload: Path,
        word: ReleaseNote,
        *,
        kind: ReleaseKind,
        name: str,
        version: str,
        **more: Any,
    ) -> ReleaseFacts:
        role = role_of(kind)
        draft = self._drafts.holder(role)
        holder = draft.signed
        counters = holder.unrecognized_fields.setdefault(COUNTERS, {})
        counter = counters.get(f"{kind}/{name}", 0) + 1
        stated: dict[str, Any] = {
            "kind": kind,
            "name": name,
            "version": version,
            "counter": counter,
            "hardware": word.hardware,
            "approved_by": word.approved_by,
            "why": word.why,
            **more,
        }
        facts = ReleaseFacts.of(_path(kind, name, version), stated)
        if facts.path in holder.targets:
            raise ReleaseError(
                f"{facts.path} exists already", fix="give it a higher version; none is changed"
            )
        target = self._store.keep(facts.path, payload)
        deltas = self._add_deltas(facts, target, holder)
        facts = facts.model_copy(update={"deltas": deltas})
        target.unrecognized_fields["custom"] = facts.model_dump(mode="json", exclude_none=True)
        holder.targets[facts.path] = target
        counters[f"{kind}/{name}"] = counter
        self._drafts.stage(role, draft)
        return facts

    def _add_deltas(
        self, facts: ReleaseFacts, target: TargetFile, holder: Targets
    ) -> dict[str, str]:
        """Patches from the newest versions before this one, by their payload's sha256."""
        made: dict[str, str] = {}
        earlier = self._earlier(facts, holder)[: self._deltas]
        for base in self._watch(earlier, "making patches"):
            raw = make_delta(self._store.payload(base), self._store.payload(target))
            if raw is None:
                continue
            with tempfile.NamedTemporaryFile(dir=self._store.staged.parent) as file:
                file.write(raw)
                file.flush()
                sha256 = base.hashes["sha256"]
                delta = self._store.keep(facts.delta_path(sha256), Path(file.name))
            delta.unrecognized_fields["custom"] = {"delta": {"of": facts.path, "base": sha256}}
            holder.targets[delta.path] = delta
            made[sha256] = delta.path
        return made

    def _earlier(self, facts: ReleaseFacts, holder: Targets) -> list[TargetFile]:
        found = [
            (ReleaseFacts.of(path, target.custom), target)
            for path, target in holder.targets.items()
            if not is_delta(target.custom)
        ]
        same = [(f, t) for f, t in found if (f.kind, f.name) == (facts.kind, facts.name)]
        newest = sorted(same, key=lambda pair: pair[0].counter, reverse=True)
        return [target for _, target in newest if self._store.intact(target)]


def _path(kind: ReleaseKind, name: str, version: str) -> str:
    """Where it will lie; facts with a wrong name or version are refused by themselves."""
    facts = ReleaseFacts.model_construct(kind=kind, name=name, version=version)
    return facts.path
