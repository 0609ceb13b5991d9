"""Names are words of the field, and a public class's name stands for one thing."""

from __future__ import annotations

import pytest

from tests.architecture.product import ROOT, Product
from tests.architecture.words import Words, folders, names, singular, used

PAGE = """# Words

| word | meaning |
|---|---|
| split point | where the halves meet |

## Rooms

| word | what lives there |
|---|---|
| labels | what inspectors say |

## Names

- queue
- store worker
"""


@pytest.fixture(scope="module")
def words() -> Words:
    return Words.read((ROOT / "docs" / "words.md").read_text(encoding="utf-8"))


def test_a_public_class_has_a_name_of_its_own(house: Product) -> None:
    shared = {name: where for name, where in house.classes().items() if len(where) > 1}
    assert not shared, f"these names stand for several things: rename all but one: {shared}"


def test_modules_and_folders_are_called_by_words_of_the_field(house: Product, words: Words) -> None:
    unknown = {
        name: strange for name, own in names(house).items() if (strange := words.unknown(own))
    }
    assert not unknown, (
        "these words are not in docs/words.md. Is there a noun of the field for it? Then take that;"
        f" if this is the noun, add it there, under Rooms or Names: {unknown}"
    )


def test_each_folder_is_a_room_of_the_page_and_each_room_a_folder(
    house: Product, words: Words
) -> None:
    assert folders(house) == words.rooms, "bring the table Rooms of docs/words.md up to date"


def test_no_word_is_listed_that_no_name_uses_or_that_is_a_room(
    house: Product, words: Words
) -> None:
    in_use = used(house)
    rooms = {singular(word) for room in words.rooms for word in room.split("_")}
    idle = {word for word in words.general if singular(word) not in in_use - rooms}
    assert not idle, f"delete these from the list Names of docs/words.md: {idle}"


@pytest.mark.parametrize("name", ["split", "points", "label_store", "worker_queues", "labels"])
def test_words_of_any_of_the_three_lists_will_do(name: str) -> None:
    assert Words.read(PAGE).unknown(name) == []


def test_every_strange_word_of_a_name_is_told() -> None:
    assert Words.read(PAGE).unknown("store_courier_told") == ["courier", "told"]
    assert Words.read(PAGE).unknown("storing") == ["storing"]


def test_a_page_without_its_lists_is_no_list() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        Words.read(PAGE.replace("## Names", "## Other"))
