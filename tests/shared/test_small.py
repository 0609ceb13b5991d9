"""Clock, errors, log, pre-processing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared import errors, log
from shared.clock import ManualClock, SystemClock
from shared.errors import MissingExtra, SplitsightError, exit_codes
from shared.features.preprocessing import prepare
from shared.redaction import redact


def family(root: type[SplitsightError] = SplitsightError) -> Iterator[type[SplitsightError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from family(kind)


def test_every_kind_of_error_has_an_exit_code_of_its_own_that_the_table_explains() -> None:
    kinds = list(family())
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert not {0, errors.USAGE_EXIT} & set(codes)
    table = exit_codes()
    assert {kind.exit_code: kind.summary for kind in kinds}.items() <= table.items()
    assert len(set(table.values())) == len(table)


def test_an_error_says_what_to_do() -> None:
    assert str(SplitsightError("it broke", fix="mend it")) == "it broke; mend it"
    assert str(SplitsightError("it broke")) == "it broke"
    missing = MissingExtra("edge", ImportError("no", name="cv2"))
    assert str(missing) == (
        "this needs the extra `edge` (cv2 is not installed); pip install 'splitsight[edge]'"
    )


@given(st.lists(st.floats(0, 1e6), max_size=10))
def test_a_manual_clock_moves_only_when_told(steps: list[float]) -> None:
    clock = ManualClock(monotonic=5.0, utc=100.0)
    for step in steps:
        assert clock.monotonic() == clock.monotonic()
        clock.advance(step)
    assert clock.monotonic() - 5.0 == pytest.approx(sum(steps))
    assert clock.utc() - 100.0 == pytest.approx(sum(steps))


def test_the_system_clock_never_runs_backwards() -> None:
    clock = SystemClock()
    times = [clock.monotonic() for _ in range(100)]
    assert all(a <= b for a, b in pairwise(times))
    assert clock.utc() > 1.7e9


SECRET = "hunter2X"  # noqa: S105 - what must never be seen
words = st.text(alphabet="abcdefgXYZ019.-_~!$&'()*+,;=@%", max_size=12)
users = st.text(alphabet="abcdefg019.-_", max_size=8)
urls = st.builds(
    "{}://{}:{}{}{}@{}{}".format,
    st.sampled_from(["rtsp", "http", "https", "mqtt", "postgresql+psycopg"]),
    users,
    words,
    st.just(SECRET),
    words,
    st.sampled_from(["10.0.0.7", "cam.local:554"]),
    st.sampled_from(["", "/stream", "/a/b?c=d"]),
)


@given(st.text(max_size=20), urls, st.text(max_size=20))
def test_a_password_in_a_url_never_survives(before: str, url: str, after: str) -> None:
    said = redact(f"{before} {url} {after}")
    assert SECRET not in said
    assert "://***@" in said


@pytest.mark.parametrize(
    "url", ["rtsp://a:p@hunter2X@host/x", "rtsp://a:p/hunter2X@host/x", "rtsp://:hunter2X@host"]
)
def test_a_password_with_odd_signs_never_survives(url: str) -> None:
    assert SECRET not in redact(url)
    assert "host" in redact(url)


@pytest.mark.parametrize(
    "text", ["http://host:8080/photo@2x.png", "mail me@plant.example", "rtsp://10.0.0.1/stream"]
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_line_shows_no_password_wherever_it_hides(style: log.LogStyle) -> None:
    url = f"rtsp://admin:{SECRET}@10.0.0.7/x"
    log.configure(style)
    with redirect_stderr(io.StringIO()) as stream:
        logger = log.get_logger("camera")
        logger.info("camera_opened", url=url, tried=[url], more={"deep": (url,)})
        logger.warning("camera_failed", error=ValueError(f"no answer from {url}"))
        try:
            Path(url).read_bytes()
        except OSError:
            logger.exception("camera_broke")
    said = stream.getvalue()
    assert SECRET not in said
    assert said.count("***@10.0.0.7") >= 5
    assert said.count("camera_") == 3


def test_json_logs_are_one_object_a_line_with_component_level_and_time() -> None:
    log.configure("json")
    with redirect_stderr(io.StringIO()) as stream:
        log.get_logger("intake").info("stored", rows=3, late=False, note=None)
        log.get_logger("intake").debug("too_fine")
    (entry,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "component": "intake",
        "level": "info",
        "event": "stored",
        "rows": 3,
        "late": False,
        "note": None,
    }


def pictures(channels: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    side = st.integers(1, 40)
    shape = st.tuples(side, side) if channels == 1 else st.tuples(side, side, st.just(3))
    return shape.flatmap(lambda s: hnp.arrays(np.uint8, s, fill=st.integers(0, 255)))


@given(pictures(1) | pictures(3), st.integers(1, 48), st.integers(1, 48), st.sampled_from([1, 3]))
def test_any_picture_becomes_the_networks_input(
    pixels: NDArray[np.uint8], height: int, width: int, channels: int
) -> None:
    found = prepare(pixels, height, width, channels)
    assert found.shape == (channels, height, width)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    # Resizing and conversion never leave the picture's own range.
    assert int(pixels.min()) - 1 <= found.min() <= found.max() <= int(pixels.max()) + 1


@given(pictures(1))
def test_a_picture_that_fits_is_not_touched(pixels: NDArray[np.uint8]) -> None:
    height, width = pixels.shape
    np.testing.assert_array_equal(prepare(pixels, height, width, 1)[0], pixels)
    np.testing.assert_array_equal(prepare(pixels, height, width, 3), np.stack([pixels] * 3))


@given(pictures(3))
def test_colours_keep_the_order_of_the_camera(pixels: NDArray[np.uint8]) -> None:
    height, width, _ = pixels.shape
    found = prepare(pixels, height, width, 3)
    for channel in range(3):
        np.testing.assert_array_equal(found[channel], pixels[:, :, channel])
