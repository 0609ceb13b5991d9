"""The words of docs/words.md, and the names that are made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.architecture.product import Product


def singular(word: str) -> str:
    return word.removesuffix("s")


@dataclass(frozen=True)
class Words:
    """field    what the product speaks of
    rooms    what a folder of code may be called
    general  what else names are made of
    """

    field: frozenset[str]
    rooms: frozenset[str]
    general: frozenset[str]

    @classmethod
    def read(cls, page: str) -> Words:
        """Of the page's text; ValueError where it lacks `## Rooms` or `## Names`."""
        field, rest = page.split("\n## Rooms\n")
        rooms, names = rest.split("\n## Names\n")
        general = re.findall(r"^- (.+)$", names, re.MULTILINE)
        return cls(
            frozenset(word for row in rows(field) for word in re.findall("[a-z]+", row)),
            frozenset(rows(rooms)),
            frozenset(word for line in general for word in line.split()),
        )

    def unknown(self, name: str) -> list[str]:
        """The words of a module's or folder's own name, `a_b`, that stand nowhere on the page."""
        rooms = (word for room in self.rooms for word in room.split("_"))
        known = {singular(word) for word in (*self.field, *rooms, *self.general)}
        return [word for word in name.split("_") if singular(word) not in known]


def rows(table: str) -> list[str]:
    """The first column of a Markdown table, without its head."""
    return re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]


def names(product: Product) -> dict[str, str]:
    """Dotted name → own name, of modules and folders; Alembic's versions have numbers for names."""
    kept = {
        name
        for module in product.modules
        for name in (module.name, module.folder)
        if not name.endswith(".__main__") and ".migrations.versions" not in name
    }
    return {name: name.rpartition(".")[2] for name in sorted(kept)}


def used(product: Product) -> set[str]:
    """Every word that a name is made of, in the singular."""
    return {singular(word) for own in names(product).values() for word in own.split("_")}


def folders(product: Product) -> set[str]:
    """The own names of the folders."""
    found = {module.folder for module in product.modules}
    return {own for name, own in names(product).items() if name in found}
