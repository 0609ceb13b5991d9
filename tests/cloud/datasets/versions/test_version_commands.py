"""`splitsight cloud data version`, as a person at a terminal and a program read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.datasets.versions.cli import app
from shared.errors import DataError
from tests.cloud.datasets.makers import good_and_bad, part, save


@pytest.fixture
def screws(tmp_path: Path) -> Path:
    return good_and_bad(tmp_path / "screws", 6, 4)


def run(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, list(map(str, arguments)))
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_versions_are_made_listed_and_compared(screws: Path) -> None:
    assert "no version yet: splitsight cloud data version create" in run("list", screws)
    made = run("create", screws, "-m", "as it came", "--by", "ada")
    assert "10 pictures" in made
    assert "good" in made
    save(screws / "good" / "900.png", part(900))
    told = run("diff", screws)
    assert "1 added" in told
    assert "good/900.png" in told
    run("create", screws, "-m", "one more", "--by", "bob")
    listed = run("list", screws)
    assert listed.index("one more") < listed.index("as it came")
    assert max(map(len, listed.splitlines())) <= 80


def test_programs_read_the_same_as_json_alone_on_standard_output(screws: Path) -> None:
    first = json.loads(run("create", screws, "-m", "as it came", "--by", "ada", "--format", "json"))
    again = json.loads(run("create", screws, "-m", "again", "--by", "bob", "--format", "json"))
    assert again == first
    (screws / "good" / "000.png").unlink()
    found = json.loads(run("diff", screws, "latest", "now", "--format", "json"))
    assert (found["before"], found["after"]) == (first["id"], "now")
    assert found["counts"]["removed"] == 1
    assert found["removed"] == [{"image": "good/000.png"}]
    assert found["mask_changed"] == []
    assert [one["id"] for one in json.loads(run("list", screws, "--format", "json"))] == [
        first["id"]
    ]


def test_a_set_with_a_bad_entry_is_refused_or_recorded_without_it_as_the_user_says(
    screws: Path,
) -> None:
    rows = [f"good/00{number}.png,good,{number}" for number in range(5)]
    table = "\n".join(["image,defect,part", *rows, "good/none.png,good,9"])
    (screws / "manifest.csv").write_text(table + "\n")
    told = ["create", screws, "-m", "as it came", "--format", "json"]
    refused = CliRunner().invoke(app, list(map(str, told)))
    assert isinstance(refused.exception, DataError)
    assert "manifest.csv:7" in str(refused.exception)
    ended = CliRunner().invoke(app, list(map(str, [*told, "--skip-bad"])))
    assert ended.exit_code == 0
    assert "1 entries are left out, the first:" in ended.stderr
    assert json.loads(ended.stdout)["counts"].keys() == {"good"}


def test_what_is_changed_in_many_pictures_is_shown_in_part_and_counted_whole(screws: Path) -> None:
    run("create", screws, "-m", "as it came")
    for number in range(900, 930):
        save(screws / "good" / f"{number}.png", part(number))
    told = run("diff", screws)
    assert "30 added" in told
    assert "10 more: --format json lists all" in told
