"""A search as its user starts it: killed, stopped, gone on with, and failed in."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cloud.datasets.makers import good_and_bad
from tests.support.commands import ended_by, splitsight

pytestmark = [pytest.mark.torch, pytest.mark.process]

VARIED = {"size", "rate", "split", "bits"}


class Searched(NamedTuple):
    """A search that was killed in its first trial, stopped in its second, and ended."""

    folder: Path
    killed: str
    stopped: str
    code_stopped: int
    said: str
    found: Any


def command(folder: Path, *more: str) -> list[str]:
    where = ["--data", folder / "parts", "--out", folder / "search", "--skip-bad", "--threads", "1"]
    size = ["--height", "64", "--width", "64"]
    epochs = ["--epochs", "2", "--tail-epochs", "0", "--bottleneck-epochs", "1"]
    return ["cloud", "search", *map(str, [*where, *size, *epochs, *more])]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("search")
    good_and_bad(folder / "parts", 30, 20)
    (folder / "parts" / "good" / "damaged.png").write_bytes(b"no picture")
    three = command(folder, "--trials", "3")
    killed, code = ended_by(signal.SIGKILL, ["trial 0", "epoch 1 "], *three)
    assert code == -signal.SIGKILL, killed
    stopped, code = ended_by(signal.SIGINT, ["trial 2", "epoch 1 "], *three)
    ended = splitsight(*three, "--format", "json")
    assert ended.code == 0, ended.stderr
    return Searched(folder, killed, stopped, code, ended.stderr, json.loads(ended.stdout))


def test_a_killed_trial_goes_on_where_it_was(searched: Searched) -> None:
    assert "going on after epoch 1 of 3" in searched.stopped
    first = min(searched.found["trials"], key=lambda trial: trial["trial"])
    begun = {"size": 64, "rate": 4e-3, "split": 8, "bits": 0.008}
    assert {name: first[name] for name in VARIED} == begun


def test_ctrl_c_ends_a_search_cleanly_and_its_trial_goes_on(searched: Searched) -> None:
    assert searched.code_stopped == 130
    assert "Traceback" not in searched.stopped
    assert "going on after epoch 1 of 3" in searched.said


def test_the_search_ends_after_so_many_trials_with_figures_of_each(searched: Searched) -> None:
    trials = searched.found["trials"]
    assert len(trials) == 3
    for trial in trials:
        assert trial.keys() >= VARIED
        assert 0 <= trial["system_auroc"] <= 1
        assert trial["kB"] > 0
        assert not trial["size"] % 32


def test_the_best_are_those_that_no_other_beats(searched: Searched) -> None:
    figures = [(one["system_auroc"], -one["kB"]) for one in searched.found["trials"]]
    beaten = {
        one
        for one in figures
        for other in figures
        if other != one and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
    }
    best = [(one["system_auroc"], -one["kB"]) for one in searched.found["best"]]
    assert best == sorted(set(figures) - beaten, reverse=True)


def test_the_command_that_is_told_trains_the_best_in_full(searched: Searched) -> None:
    best = searched.found["best"][0]
    words = best["command"].replace("BUNDLE", str(searched.folder / "bundle")).split()
    short = ["--epochs", "1", "--tail-epochs", "0", "--bottleneck-epochs", "1", "--threads", "1"]
    ended = splitsight(*words[1:], *short)
    assert ended.code == 0, ended.stderr
    record = json.loads((searched.folder / "bundle.run" / "record.json").read_text())
    shape = record["options"]["architecture"]
    assert max(shape["height"], shape["width"]) == best["size"]
    assert shape["split_block"] == best["split"]
    assert record["options"]["rate"] == pytest.approx(best["rate"], rel=1e-3)
    assert record["options"]["weights"]["rate"] == pytest.approx(best["bits"], rel=1e-3)


def test_ended_trials_leave_no_pictures_and_no_checkpoint(searched: Searched) -> None:
    left = {path.name for path in (searched.folder / "search").rglob("*") if path.is_file()}
    assert left <= {"study.db", "search.lock"}


def test_a_search_of_other_options_is_refused(searched: Searched) -> None:
    ended = splitsight(*command(searched.folder, "--batch", "4"))
    assert ended.code == 10
    assert "was begun with other options" in ended.stderr


def test_time_that_is_used_up_is_used_up(searched: Searched) -> None:
    assert searched.found["used_s"] > 1
    ended = splitsight(*command(searched.folder, "--budget", "1s", "--format", "json"))
    assert ended.code == 0
    again = json.loads(ended.stdout)
    assert len(again["trials"]) == 3
    assert again["used_s"] >= searched.found["used_s"]


def test_a_trial_that_fails_costs_itself_and_three_in_a_row_end_the_search(
    tmp_path: Path,
) -> None:
    good_and_bad(tmp_path / "parts", 30, 20)
    (tmp_path / "search").mkdir()
    # Where a trial would make its folder there is a file.
    for number in (0, 2, 3, 4):
        (tmp_path / "search" / f"trial-{number}").write_text("")
    ended = splitsight(*command(tmp_path, "--what", "rate"))
    assert ended.code == 51
    assert "trial 0 failed" in ended.stderr
    assert "trial 1: system AUROC" in ended.stderr
    assert "3 trials failed one after the other" in ended.stderr
    assert "5 trials, 4 of them failed" in ended.stdout


def test_a_file_that_is_no_study_is_one_error(tmp_path: Path) -> None:
    good_and_bad(tmp_path / "parts", 30, 20)
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "study.db").write_text("no database " * 100)
    ended = splitsight(*command(tmp_path))
    assert ended.code == 54
    assert "not a database" in ended.stderr


def test_a_second_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from shared.storage.lock import ProcessLock

    good_and_bad(tmp_path / "parts", 30, 20)
    (tmp_path / "search").mkdir()
    held = ProcessLock(tmp_path / "search" / "search.lock")
    ended = splitsight(*command(tmp_path))
    held.release()
    assert ended.code == 10
    assert "already" in ended.stderr
