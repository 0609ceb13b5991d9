"""Folders import from each other without a circle, and none is too full to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.product import Product

MOST_MODULES = 25


def written(root: Path, files: dict[str, str]) -> Product:
    """A package `house` of these files."""
    for name, text in files.items():
        path = root / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Product.read([root / "house"])


def test_folders_form_no_circle(house: Product) -> None:
    circle = house.circle()
    assert not circle, "these folders import each other in a circle:\n" + "\n".join(circle)


def test_no_folder_holds_more_modules_than_one_takes_in_at_a_glance(house: Product) -> None:
    full = {name: count for name, count in house.sizes().items() if count > MOST_MODULES}
    assert not full, f"more than {MOST_MODULES} modules directly in one folder: {full}"


@pytest.mark.parametrize(
    "line",
    [
        "from house.door import bell",
        "import house.door.bell",
        "from house.door.bell import ring",
        "from ..door import bell",
        "from ..door.bell import ring",
        "def late():\n    from house.door import bell",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.door import bell",
    ],
)
def test_a_circle_is_found_however_it_is_imported(tmp_path: Path, line: str) -> None:
    found = written(
        tmp_path,
        {
            "kitchen/oven.py": line,
            "door/bell.py": "from house.hall.stairs import up",
            "hall/stairs.py": "from house.kitchen import oven",
        },
    ).circle()
    assert sorted(found) == [
        "house.door → house.hall: house.door.bell → house.hall.stairs",
        "house.hall → house.kitchen: house.hall.stairs → house.kitchen.oven",
        "house.kitchen → house.door: house.kitchen.oven → house.door.bell",
    ]


def test_a_package_counts_as_the_folder_that_it_is(tmp_path: Path) -> None:
    product = written(
        tmp_path,
        {
            "__init__.py": "",
            "door/__init__.py": "import house.kitchen",
            "kitchen/__init__.py": "",
            "kitchen/oven.py": "from house import door",
        },
    )
    assert len(product.circle()) == 2
    assert product.sizes() == {"house.kitchen": 1}


def test_imports_within_a_folder_and_downwards_are_no_circle(tmp_path: Path) -> None:
    product = written(
        tmp_path,
        {
            "kitchen/oven.py": "from house.kitchen import table\nimport os.path\nimport numpy",
            "kitchen/table.py": "from . import oven\nfrom house.door import bell",
            "door/bell.py": "",
        },
    )
    assert product.circle() == []
    assert set(product.arrows()) == {"house.kitchen"}
