"""What the product's packages hold, read from their source: modules, folders, classes, imports."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "edge", "cloud", "fleet", "hardware-sim/hardware_sim")


@dataclass(frozen=True)
class ProductModule:
    """One file: `name` is dotted; a package's `__init__` is called as the package."""

    path: Path
    name: str

    @property
    def is_package(self) -> bool:
        return self.path.stem == "__init__"

    @property
    def folder(self) -> str:
        """The dotted name of the folder in which it lies."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    def imported(self) -> Iterator[tuple[str, str | None]]:
        """(module, name or None) of every import: inside functions and for type checkers too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = self.folder.split(".")[: -node.level + 1 or None] if node.level else []
                source = ".".join([*above, *filter(None, [node.module])])
                yield from ((source, alias.name) for alias in node.names)


@dataclass(frozen=True)
class Product:
    """Every module of some packages."""

    modules: tuple[ProductModule, ...]

    @classmethod
    def read(cls, packages: Iterable[Path]) -> Product:
        """All Python files below these folders; each folder is a package of that name."""
        found = []
        for package in packages:
            for path in sorted(package.rglob("*.py")):
                parts = path.relative_to(package.parent).with_suffix("").parts
                found.append(
                    ProductModule(path, ".".join(part for part in parts if part != "__init__"))
                )
        return cls(tuple(found))

    def sizes(self) -> Counter[str]:
        """Folder → how many modules lie directly in it, packages' `__init__` left out."""
        return Counter(module.folder for module in self.modules if not module.is_package)

    def classes(self) -> dict[str, list[str]]:
        """Public class name → the modules that define it at their top."""
        found = defaultdict(list)
        for module in self.modules:
            for node in module.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(module.name)
        return found

    def arrows(self) -> dict[str, dict[str, list[str]]]:
        """Folder → folder that it imports from → the imports, as `module → module`."""
        by_name = {module.name: module for module in self.modules}
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for module in self.modules:
            for source, name in module.imported():
                target = by_name.get(f"{source}.{name}") or by_name.get(source)
                if target is not None and target.folder != module.folder:
                    found[module.folder][target.folder].append(f"{module.name} → {target.name}")
        return found

    def circle(self) -> list[str]:
        """One circle of folders as the imports that make it, or nothing."""
        arrows = self.arrows()
        try:
            TopologicalSorter(arrows).prepare()
        except CycleError as error:
            # Its list runs from what is imported to what imports it, and ends where it began.
            walk = error.args[1][::-1]
            return [
                f"{here} → {there}: {', '.join(arrows[here][there])}"
                for here, there in pairwise(walk)
            ]
        return []


def product() -> Product:
    """The product as it lies here."""
    return Product.read(ROOT / package for package in PACKAGES)
