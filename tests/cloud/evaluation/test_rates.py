"""Bytes against accuracy: our codec's rates beside JPEG and WebP through the model on pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.dataset import Dataset
from cloud.evaluation.evaluation import evaluate
from cloud.evaluation.judgements import judge
from cloud.evaluation.pixels import PixelsModel
from cloud.evaluation.rates import (
    COARSENESS,
    LOSS,
    QUALITIES,
    Point,
    Rates,
    fewest_bytes,
    match,
    sweep,
    tail_alone,
)
from shared.bundles.bundle import Bundle
from shared.errors import SettingsError
from shared.features.image_codecs import COMPRESSIONS, compress, decompress, to_pixels, to_planes
from tests.bundles import picture
from tests.cloud.evaluation.judged import manifest, pixels_model
from tests.support.commands import splitsight


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "pixels.onnx"
    path.write_bytes(pixels_model())
    return path


@pytest.fixture(scope="module")
def swept(tiny: Bundle, line: Dataset, model: Path) -> Rates:
    found = sweep(
        tiny,
        line,
        judge(tiny, line, "onnx"),
        runtime="onnx",
        model=PixelsModel(model, tiny.manifest.input, "onnx"),
    )
    assert found is not None
    return found


def test_the_finest_rate_is_what_the_bundle_sends(
    tiny: Bundle, line: Dataset, swept: Rates
) -> None:
    figures, judged = evaluate(tiny, line, "test", "onnx")
    assert [point.step for point in swept.ours] == list(COARSENESS)
    assert len(COARSENESS) >= 5
    finest = swept.ours[0]
    assert finest.auroc == pytest.approx(figures.cloud.auroc)
    assert finest.bytes_p50 == np.median(judged.encoded)
    assert figures.rates is not None
    assert figures.rates.ours == swept.ours
    assert figures.rates.pictures is None


def test_the_coarsest_rate_tells_less(swept: Rates) -> None:
    first, last = swept.ours[0], swept.ours[-1]
    assert last.bytes_p50 <= first.bytes_p50
    assert last.tail_auroc is not None
    assert first.tail_auroc is not None
    # At eight times the step the level of these pictures, at most 1 for the unsure, is gone.
    assert last.tail_auroc < first.tail_auroc
    assert [point.auroc for point in tail_alone(swept.ours)] == [
        point.tail_auroc for point in swept.ours
    ]


def test_pictures_are_judged_at_every_quality_by_the_model_on_pixels(
    tiny: Bundle, line: Dataset, swept: Rates
) -> None:
    pictures = swept.pictures
    assert pictures is not None
    for points in (pictures.jpeg, pictures.webp):
        assert [point.step for point in points] == list(QUALITIES)
        sizes = [point.bytes_p50 for point in points]
        assert sizes == sorted(sizes)
        assert all(point.tail_auroc is None for point in points)
    # The model goes by brightness, as the labels do but for two parts.
    assert 0.5 < pictures.auroc < 1
    assert pictures.auroc_interval.low < pictures.auroc < pictures.auroc_interval.high
    assert pictures.jpeg[-1].auroc == pytest.approx(pictures.auroc, abs=0.05)


def test_every_rate_is_matched_as_it_is_served_and_without_the_heads_score(swept: Rates) -> None:
    pictures = swept.pictures
    assert pictures is not None
    best = max(point.auroc for point in pictures.jpeg)
    for points, found in (
        (swept.ours, pictures.matches),
        (tail_alone(swept.ours), pictures.tail_matches),
    ):
        reached = [point.step for point in points if point.auroc <= best]
        assert reached
        assert [one.step for one in found] == reached


def test_what_a_rate_must_reach_is_half_a_point_below_the_model_on_pixels(swept: Rates) -> None:
    pictures = swept.pictures
    assert pictures is not None
    for found, points in (
        (pictures.within_ours, swept.ours),
        (pictures.within_jpeg, pictures.jpeg),
        (pictures.within_webp, pictures.webp),
    ):
        enough = [p.bytes_p50 for p in points if p.auroc >= pictures.auroc - LOSS]
        assert found == (min(enough) if enough else None)


curve = st.lists(st.tuples(st.floats(1, 1e5), st.floats(0.5, 1)), min_size=1, max_size=8).map(
    lambda found: [Point(n, size, area) for n, (size, area) in enumerate(sorted(found))]
)


@given(curve, st.floats(1, 1e5), st.floats(0.5, 1))
def test_a_match_lies_where_jpeg_first_reaches_our_auroc(
    jpeg: list[Point], size: float, area: float
) -> None:
    ours = Point(1, size, area)
    found = match(ours, jpeg)
    reaching = [n for n, point in enumerate(jpeg) if point.auroc >= area]
    if not reaching:
        assert found is None
        return
    assert found is not None
    assert found.ratio == pytest.approx(size / found.jpeg_bytes)
    assert found.at_most == (reaching[0] == 0)
    above = jpeg[reaching[0]]
    below = jpeg[max(0, reaching[0] - 1)]
    assert below.bytes_p50 * (1 - 1e-9) <= found.jpeg_bytes <= above.bytes_p50 * (1 + 1e-9)


def test_between_two_qualities_bytes_are_interpolated_in_their_logarithm() -> None:
    jpeg = [Point(5, 100, 0.8), Point(10, 10_000, 0.9)]
    found = match(Point(1, 250, 0.85), jpeg)
    assert found is not None
    assert found.jpeg_bytes == pytest.approx(1000)
    assert found.ratio == pytest.approx(0.25)
    exactly = match(Point(1, 250, 0.9), jpeg)
    assert exactly is not None
    assert exactly.jpeg_bytes == pytest.approx(10_000)


@given(curve, st.floats(0.5, 1))
def test_the_fewest_bytes_are_those_of_a_rate_that_was_tried(
    points: list[Point], wanted: float
) -> None:
    found = fewest_bytes(points, wanted)
    enough = [point for point in points if point.auroc >= wanted]
    assert (found is None) == (not enough)
    assert all(found is not None and found <= point.bytes_p50 for point in enough)


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_comes_back_from_its_file(channels: int, kind: str) -> None:
    shaded = np.repeat(picture(90)[np.newaxis], channels, axis=0) + np.arange(
        channels, dtype=np.uint8
    ).reshape(-1, 1, 1)
    known = next(one for one in COMPRESSIONS if one == kind)
    small, large = (compress(to_pixels(shaded), quality, known) for quality in (5, 95))
    assert len(small) < len(large)
    again = to_planes(decompress(large, channels))
    assert again.shape == shaded.shape
    assert again.flags.c_contiguous
    assert np.abs(again.astype(int) - shaded).mean() < 4
    np.testing.assert_array_equal(to_planes(to_pixels(shaded)), shaded)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "can't be read"),
        (b"not a model at all", "is not an ONNX model"),
        (b"", "takes nothing"),
        (pixels_model(name="symbols"), r"takes symbols uint8 \(n, 1, 64, 64\)"),
        (pixels_model(side=96), r"uint8 \(n, 1, 96, 96\); want picture uint8 \(n, 1, 64, 64\)"),
        (pixels_model(outputs=("map", "logit")), "gives map, logit; want map and score"),
    ],
)
def test_a_file_that_is_no_model_on_pixels_is_told(
    tiny: Bundle, tmp_path: Path, raw: bytes | None, said: str
) -> None:
    path = tmp_path / "pixels.onnx"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(SettingsError, match=said) as told:
        PixelsModel(path, tiny.manifest.input, "onnx")
    assert "pixels.onnx of the training run" in told.value.fix


@pytest.mark.process
def test_the_command_tells_of_a_missing_model_before_it_judges(
    tiny: Bundle, line: Dataset, tmp_path: Path
) -> None:
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", tiny.path, "--data", manifest(tmp_path, line)),
        *("--pixels", tmp_path / "nowhere.onnx"),
    )
    assert ended.code == SettingsError.exit_code
    assert "nowhere.onnx can't be read" in ended.stderr
    assert not ended.stdout
