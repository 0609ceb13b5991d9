"""What changed from one version of a data set to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cloud.datasets.versions.version import VersionedPicture

Told = Callable[[VersionedPicture], str]
# What is compared of a picture that both have, and under which word it is told.
_COMPARED: dict[str, Told] = {
    "renamed": lambda one: one.relpath,
    "relabelled": lambda one: one.defect,
    "moved": lambda one: one.split,
    "regrouped": lambda one: one.part,
    "of_another_domain": lambda one: one.domain,
    "mask_changed": lambda one: one.mask[:12] or "none",
}


class PictureChange(msgspec.Struct, frozen=True):
    """What one picture was and is, in the words of the list that it stands in."""

    image: str
    before: str
    after: str


class VersionDifference(msgspec.Struct, frozen=True):
    """Every change, each list in the order of places.

    added, removed     pictures that only one side has
    replaced           other bytes at the same place: their sha256
    renamed            the same bytes at another place
    relabelled         of another kind of defect
    judged_otherwise   of the same kind, with another probability
    moved              to another split
    regrouped          said to be of another part
    of_another_domain  said to be from another line, lighting or plant
    mask_changed       other pixels are marked, or the mask came or went
    """

    added: list[str] = []
    removed: list[str] = []
    replaced: list[PictureChange] = []
    renamed: list[PictureChange] = []
    relabelled: list[PictureChange] = []
    judged_otherwise: list[PictureChange] = []
    moved: list[PictureChange] = []
    regrouped: list[PictureChange] = []
    of_another_domain: list[PictureChange] = []
    mask_changed: list[PictureChange] = []

    @classmethod
    def between(
        cls, before: Sequence[VersionedPicture], after: Sequence[VersionedPicture]
    ) -> VersionDifference:
        """Pictures are known again by their bytes, and else by their place."""
        pairs, gone, new = _paired(before, after)
        old_places = {one.relpath: one for one in gone}
        replaced = [(old_places[one.relpath], one) for one in new if one.relpath in old_places]
        judged = [(old, new) for old, new in [*pairs, *replaced] if old.defect == new.defect]
        kept = {one.relpath for _, one in replaced}
        changes = {word: _changes([*pairs, *replaced], told) for word, told in _COMPARED.items()}
        return cls(
            added=sorted(one.relpath for one in new if one.relpath not in kept),
            removed=sorted(one.relpath for one in gone if one.relpath not in kept),
            judged_otherwise=_changes(judged, lambda one: f"{one.target:g}"),
            replaced=_changes(replaced, lambda one: one.sha256[:12]),
            **changes,
        )

    def lists(self) -> dict[str, list[dict[str, str]]]:
        """Each change as a row of a table, by the lists' names."""
        return {name: list(map(_row, getattr(self, name))) for name in self.__struct_fields__}

    def counts(self) -> dict[str, int]:
        """How many of each, without what did not happen."""
        return {name: len(rows) for name, rows in self.lists().items() if rows}

    def in_words(self) -> str:
        """2 added, 1 mask changed."""
        told = (f"{count} {name.replace('_', ' ')}" for name, count in self.counts().items())
        return ", ".join(told) or "nothing changed"


Pair = tuple[VersionedPicture, VersionedPicture]


def _paired(
    before: Sequence[VersionedPicture], after: Sequence[VersionedPicture]
) -> tuple[list[Pair], list[VersionedPicture], list[VersionedPicture]]:
    """The same bytes on both sides, and what is left on each; of copies those at one place
    first."""
    stays = set(map(_key, before)) & set(map(_key, after))
    here = {_key(one): one for one in before if _key(one) in stays}
    by_bytes: dict[str, list[VersionedPicture]] = defaultdict(list)
    for one in before:
        if _key(one) not in stays:
            by_bytes[one.sha256].append(one)
    pairs: list[Pair] = []
    new: list[VersionedPicture] = []
    for one in after:
        if _key(one) in stays:
            pairs.append((here[_key(one)], one))
        elif by_bytes[one.sha256]:
            pairs.append((by_bytes[one.sha256].pop(0), one))
        else:
            new.append(one)
    return pairs, [one for several in by_bytes.values() for one in several], new


def _row(change: str | PictureChange) -> dict[str, str]:
    return {"image": change} if isinstance(change, str) else msgspec.structs.asdict(change)


def _key(one: VersionedPicture) -> tuple[str, str]:
    return one.relpath, one.sha256


def _changes(pairs: Iterable[Pair], told: Told) -> list[PictureChange]:
    found = (PictureChange(new.relpath, told(old), told(new)) for old, new in pairs)
    return sorted((one for one in found if one.before != one.after), key=lambda one: one.image)
