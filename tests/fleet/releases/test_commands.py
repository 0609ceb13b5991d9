"""`splitsight fleet release` as people type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fleet.releases.cli import app
from fleet.releases.creation import found_repository
from fleet.releases.store import ReleaseStore
from shared.bundles.bundle import amend_bundle
from shared.clock import SystemClock
from shared.errors import ReleaseError, SplitsightError
from tests.bundles import make_bundle
from tests.support.commands import Ended, splitsight


class Desk:
    """A folder in which somebody works."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stick = folder / "stick"

    def run(self, command: str, *arguments: str | Path) -> Ended:
        fleet = self.folder / "fleet"
        return splitsight("fleet", "release", command, *arguments, "--folder", fleet)

    def listed(self) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads(
            self.run("list", "--format", "json").stdout
        )
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    assert desk.run("init", "--keys", desk.stick).code == 0
    return desk


@pytest.mark.process
def test_a_model_goes_from_a_bundle_to_what_devices_see(desk: Desk) -> None:
    bundle = make_bundle(desk.folder / "bundle").path
    word = ("--approved-by", "A. Rossi", "--why", "a trial, every part is reviewed")
    added = desk.run("add", "--model", bundle, *word, "--format", "json")
    assert json.loads(added.stdout)["path"] == "models/tiny/1.0.0.zip"
    early = desk.run("publish")
    assert (early.code, "models has 0 of 1" in early.stderr) == (75, True)
    assert desk.run("sign", "--key", desk.stick / "models.pem").code == 0
    published = desk.run("publish")
    assert (published.code, published.stderr.strip()) == (0, "Published: models.")
    (release,) = desk.listed()["releases"]
    assert (release["stage"], release["approved_by"]) == ("published", "A. Rossi")
    assert "models/tiny/1.0.0.zip" in desk.run("list").stdout
    amend_bundle(make_bundle(bundle), {"version": "1.1.0"})
    second = desk.run("add", "--model", bundle, *word)
    assert second.stderr.strip() == "Number 2, 1 patches; sign and publish it."


@pytest.mark.process
@pytest.mark.parametrize("word", [(), ("--approved-by", "A. Rossi"), ("--why", "no time")])
def test_a_model_that_shows_nothing_needs_a_named_persons_reason(
    desk: Desk, word: tuple[str, ...]
) -> None:
    refused = desk.run("add", "--model", make_bundle(desk.folder / "bundle").path, *word)
    assert refused.code == ReleaseError.exit_code
    assert "tiny 1.0.0 has no certificate and was never measured" in refused.stderr
    assert "--approved-by WHO and --why WHY" in " ".join(refused.stderr.split())
    assert desk.listed()["releases"] == []


@pytest.mark.process
def test_a_root_key_is_replaced_by_people_in_two_places(desk: Desk) -> None:
    roles = {row["role"]: row for row in desk.listed()["roles"]}
    old = str(roles["root"]["keys"][1])  # type: ignore[index]
    rotated = desk.run("rotate", "root", "--old", old, "--new", desk.stick / "root-4.pem")
    assert rotated.stderr.strip() == "Waiting for signatures: root."
    copy = desk.folder / "copy.json"
    shutil.copy(desk.folder / "fleet" / "releases" / "staged" / "root.json", copy)
    away = desk.run("sign", "--file", copy, "--key", desk.stick / "root-1.pem")
    assert away.code == 0
    merged = desk.run("sign", "--merge", copy, "--format", "json")
    assert [(row["role"], row["signed"]) for row in json.loads(merged.stdout)] == [("root", 1)]
    desk.run("sign", "--key", desk.stick / "root-3.pem")
    assert desk.run("publish").stderr.strip() == "Published: root."
    assert (desk.folder / "fleet" / "repository" / "metadata" / "2.root.json").exists()


@pytest.mark.process
def test_releases_are_removed_and_roles_renewed(desk: Desk) -> None:
    word = ("--approved-by", "A. Rossi", "--why", "a trial")
    desk.run("add", "--model", make_bundle(desk.folder / "bundle").path, *word)
    assert desk.run("remove", "models/tiny/1.0.0.zip").code == 0
    assert desk.listed()["releases"] == []
    renewed = desk.run("renew", "firmware")
    assert renewed.stderr.strip() == "firmware waits for its signatures."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add",), "give one thing to add"),
        (
            ("add", "--app", "README.md", "--name", "a", "--release-version", "1"),
            "is not a tar packed",
        ),
        (("add", "--model", "README.md"), "is not a bundle"),
        (("sign",), "there is nothing to sign with"),
        (("sign", "--key", "README.md"), "can't be opened"),
        (("rotate", "models", "--old", "abc"), "needs a place"),
        (("renew", "snapshot"), "is signed again by the cloud"),
        (("remove", "models/none/1.zip"), "not among the releases"),
        (("publish", "--cloud", "http://127.0.0.1:9"), "can't be read"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    found_repository(ReleaseStore(tmp_path), tmp_path / "stick", SystemClock())
    with pytest.raises(SplitsightError, match=said) as refused:
        app([*arguments, "--folder", str(tmp_path)], standalone_mode=False)
    assert refused.value.fix
    assert refused.value.exit_code > 2


@pytest.mark.process
def test_without_a_repository_people_hear_how_to_start(tmp_path: Path) -> None:
    ended = Desk(tmp_path).run("list")
    assert (ended.code, "splitsight fleet release init" in ended.stderr) == (75, True)
