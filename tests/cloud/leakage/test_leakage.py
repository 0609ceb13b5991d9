"""What features give away: an inverter, its figures, and where they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
import typer
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from cloud.cli import app as cloud
from cloud.datasets.fingerprints import fingerprints
from cloud.datasets.readers import read
from cloud.leakage.cli import SHEET, note
from cloud.leakage.inverter import Fit, Inverter, fit_inverter, reconstruct
from cloud.leakage.leakage import MOST_DB, NOTHING, RATES, compare, measure_leakage
from cloud.leakage.sheet import ROWS, chosen
from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.bundles.cli import app as bundle
from shared.bundles.leakage import Leakage, describe
from shared.bundles.manifest import GOLDEN, TAIL, TRAINED
from shared.errors import BundleError, DataError, TrainingError
from tests.bundles import make_bundle
from tests.cloud.datasets.makers import good_and_bad, sample

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

EPOCHS = 8


def invoke(app: typer.Typer, *arguments: str | Path) -> Result:
    """A command line that has to end well, in this process: it has torch loaded already."""
    ended = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "400"})
    assert ended.exit_code == 0, ended.exception
    return ended


class Measured(NamedTuple):
    """A bundle before and after the command, and what the command said."""

    before: Bundle
    after: Bundle
    ended: Result
    sheet: Path
    data: Path

    @property
    def leakage(self) -> Leakage:
        assert self.after.manifest.leakage is not None
        return self.after.manifest.leakage


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("leakage")
    data = good_and_bad(folder / "parts", 40, 24)
    before = make_bundle(folder / "bundle")
    ended = invoke(
        cloud,
        *("leakage", "--bundle", before.path, "--data", data, "--out", folder / "sheet"),
        *("--epochs", str(EPOCHS), "--threads", "1", "--runtime", "onnx", "--format", "json"),
    )
    return Measured(before, Bundle.open(before.path), ended, folder / "sheet" / SHEET, data)


def test_the_command_prints_one_json_report_alone_and_the_bundle_keeps_it(
    measured: Measured,
) -> None:
    told = json.loads(measured.ended.stdout)
    assert told.pop("bundle") == measured.after.id != measured.before.id
    assert told == measured.leakage.model_dump(mode="json")
    splits = read(str(measured.data))
    assert told["trained"] == len(splits.of("train").samples)
    assert told["tested"] == len(splits.of("test").samples)
    assert told["data_hash"] == splits.content_hash()
    assert [rate["coarseness"] for rate in told["rates"]] == list(RATES)


def test_a_damaged_picture_is_refused_by_name_and_can_be_left_out(
    measured: Measured, tmp_path: Path
) -> None:
    data = good_and_bad(tmp_path / "parts", 40, 24)
    damaged = read(str(data)).of("test").samples[0].image
    damaged.write_bytes(damaged.read_bytes()[:-200])
    asked = (
        *("leakage", "--bundle", make_bundle(tmp_path / "bundle").path, "--data", data),
        *("--epochs", "1", "--threads", "1", "--runtime", "onnx", "--format", "json"),
    )
    refused = CliRunner().invoke(cloud, [*map(str, asked)])
    assert isinstance(refused.exception, DataError)
    assert damaged.name in str(refused.exception)
    ended = invoke(cloud, *asked, "--skip-bad")
    assert json.loads(ended.stdout)["tested"] == measured.leakage.tested - 1
    assert f"bad, left out: {damaged}" in ended.stderr


def test_pictures_that_the_bundle_was_trained_on_are_refused(
    measured: Measured, tmp_path: Path
) -> None:
    tested = [one.image for one in read(str(measured.data)).of("test").samples]
    tiny = make_bundle(tmp_path / "tiny")
    seen = amend_bundle(tiny, {}, tmp_path / "seen", {TRAINED: fingerprints(tested[:3])})
    asked = ("leakage", "--bundle", seen.path, "--data", measured.data, "--epochs", "1")
    refused = CliRunner().invoke(cloud, [*map(str, asked)])
    assert isinstance(refused.exception, DataError)
    assert f"was trained on 3 of these {len(tested)} parts" in str(refused.exception)
    assert Bundle.open(seen.path).id == seen.id
    looked = invoke(cloud, *asked, "--allow-seen", "--threads", "1", "--runtime", "onnx")
    assert "was trained on 3 of these" in " ".join(looked.stderr.split())


def test_only_the_manifest_changes(measured: Measured) -> None:
    before, after = measured.before.manifest, measured.after.manifest
    assert after.files == before.files
    assert after.model_dump(exclude={"leakage"}) == before.model_dump(exclude={"leakage"})


def test_features_give_more_away_than_nothing_and_coarser_ones_less(measured: Measured) -> None:
    finest, *_, coarsest = measured.leakage.rates
    assert finest.psnr > measured.leakage.nothing.psnr + 1
    assert finest.psnr > coarsest.psnr
    assert finest.bytes_p50 > coarsest.bytes_p50 > measured.leakage.nothing.bytes_p50 == 0


def test_the_sheet_has_a_row_a_picture_and_a_column_a_coarseness(measured: Measured) -> None:
    sheet = cv2.imread(str(measured.sheet), cv2.IMREAD_COLOR)
    assert sheet is not None
    height, width = sheet.shape[:2]
    assert width // (len(RATES) + 2) == 186
    assert height > ROWS * 186
    assert "treat it like them" in measured.ended.stderr


def test_a_bundle_shows_what_its_features_give_away(measured: Measured) -> None:
    shown = invoke(bundle, "show", measured.after.path).stdout
    assert f"a PSNR of {measured.leakage.rates[0].psnr:.1f} dB" in shown
    assert describe(None).startswith("not measured")


@pytest.mark.parametrize(("changed", "kept"), [(GOLDEN, True), (TAIL, False)])
def test_figures_of_another_pair_are_void(
    measured: Measured, tmp_path: Path, changed: str, kept: bool
) -> None:
    files = {name: measured.after.read(name) for name in measured.after.manifest.files}
    fields = measured.after.manifest.model_dump(exclude={"files"})
    other = write_bundle(tmp_path / "other", fields, files | {changed: b"other"})
    assert (other.manifest.leakage is not None) == kept


def test_figures_outlive_another_gate(measured: Measured, tmp_path: Path) -> None:
    gate = measured.after.manifest.gate.model_dump() | {"pass_below": 0.1}
    other = amend_bundle(measured.after, {"gate": gate}, tmp_path / "other")
    assert other.manifest.leakage == measured.leakage


def test_a_bundle_that_was_rebuilt_meanwhile_does_not_get_the_figures(
    measured: Measured, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path / "other", kinds=True)
    with pytest.raises(BundleError, match=f"now holds the pair {other.manifest.pair}"):
        note(other.path, measured.leakage)


def flat(shade: int, *, count: int = 3, channels: int = 1) -> NDArray[np.uint8]:
    return np.full((count, channels, 32, 32), shade, np.uint8)


@pytest.mark.parametrize(
    ("made", "psnr", "ssim"), [(flat(100), MOST_DB, 1.0), (flat(110), 28.13, 0.9955)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_figures_are_those_of_the_textbook(
    made: NDArray[np.uint8], psnr: float, ssim: float, channels: int
) -> None:
    pictures, made = flat(100, channels=channels), np.repeat(made, channels, axis=1)
    found = compare(pictures, made, 1, np.array([4, 8, 8]), (0.5, None))
    assert found.psnr == pytest.approx(psnr, abs=0.01)
    assert found.ssim == pytest.approx(ssim, abs=1e-3)
    assert found.bytes_p50 == 8


def shaded(count: int) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Symbols (n, 1, 2, 2), and pictures whose quarters have the shades that they say."""
    symbols = np.random.default_rng(0).integers(-4, 5, (count, 1, 2, 2)).astype(np.int8)
    quarters = np.kron(symbols, np.ones((1, 1, 16, 16), np.int8))
    return symbols, np.asarray(128 + 25 * quarters.astype(int), np.uint8)


def test_an_inverter_learns_what_symbols_say_and_repeats_itself() -> None:
    symbols, pictures = shaded(64)
    sent = {1: symbols, NOTHING: np.zeros_like(symbols)}
    net = fit_inverter(sent, pictures, Fit(epochs=10, seed=3))
    again = fit_inverter(sent, pictures, Fit(epochs=10, seed=3))
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    fresh, truth = shaded(96)
    made = reconstruct(net, fresh[64:], 1)
    blind = reconstruct(net, np.zeros_like(fresh[64:]), NOTHING)
    assert made.shape == truth[64:].shape
    error, without = (np.square(x.astype(float) - truth[64:]).mean() for x in (made, blind))
    assert error < 0.2 * without


@pytest.mark.parametrize(
    ("features", "picture"),
    [((4, 4, 4), (1, 4, 4)), ((4, 4, 4), (1, 24, 24)), ((4, 4, 4), (1, 64, 32))],
)
def test_a_picture_that_is_no_power_of_two_larger_is_refused(
    features: tuple[int, int, int], picture: tuple[int, int, int]
) -> None:
    with pytest.raises(TrainingError, match=r"features of 4×4 places came for a picture of"):
        Inverter(features, picture)


def test_too_few_pictures_to_learn_from_are_refused() -> None:
    symbols, pictures = shaded(7)
    with pytest.raises(TrainingError, match="there are 7 training pictures; an inverter needs 8"):
        fit_inverter({1: symbols}, pictures, Fit())


def test_a_set_without_test_pictures_is_refused(measured: Measured) -> None:
    whole = read(str(measured.data))
    with pytest.raises(DataError, match="no samples in the split 'test'"):
        measure_leakage(measured.before, whole.of("train"), Fit(1), "onnx", 1)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_the_sheet_shows_different_pictures_of_both_labels_where_there_are(
    defective: list[bool],
) -> None:
    samples = [
        replace(sample(Path("a.png"), part=str(n), target=float(bad)), split="test")
        for n, bad in enumerate(defective)
    ]
    found = chosen(samples)
    assert len(found) == len(set(found)) == min(ROWS, len(samples))
    shown = [defective[index] for index in found]
    assert sum(shown) >= min(sum(defective), ROWS // 2)
    assert len(shown) - sum(shown) >= min(len(defective) - sum(defective), ROWS // 2)


def test_one_label_alone_has_no_auroc_and_is_said_so() -> None:
    fields: dict[str, Any] = {"bytes_p50": 1, "psnr": 20, "ssim": 0.5, "accuracy": 1}
    found = Leakage.model_validate(
        {
            "pair": "0" * 16,
            "measured": "",
            "data": "",
            "data_hash": "0" * 64,
            "trained": 8,
            "tested": 1,
            "epochs": 1,
            "accuracy": 1,
            "nothing": {"coarseness": 256, **fields},
            "rates": [{"coarseness": 1, **fields}],
        }
    )
    assert "AUROC" not in describe(found)
    assert "PSNR of 20.0 dB" in describe(found)
