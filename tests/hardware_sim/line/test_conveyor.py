from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.line.conveyor import Conveyor, LineSettings
from shared.errors import SettingsError
from shared.settings import validate

PLAIN = LineSettings(
    speed=0.5, pitch=0.25, part_length=0.1, trigger_at=0.1, camera_at=0.2, ejector_at=0.7,
    reaction_ms=20,
)  # fmt: skip


@st.composite
def geometries(draw: st.DrawFn) -> LineSettings:
    def metres(low: float, high: float) -> float:
        return draw(st.floats(low, high))

    length = metres(0.01, 0.3)
    trigger = metres(0.0, 1.0)
    camera = trigger + metres(0.0, 1.0)
    return LineSettings(
        speed=metres(0.05, 5.0),
        pitch=length + metres(0.0, 0.5),
        part_length=length,
        jitter=metres(0.0, 0.5),
        trigger_at=trigger,
        camera_at=camera,
        ejector_at=camera + metres(0.5, 2.0),
        reaction_ms=metres(0.0, 20.0),
    )


def test_a_part_passes_trigger_camera_and_ejector_when_the_belt_has_brought_it_there() -> None:
    belt = Conveyor(PLAIN, seed=0, started=100.0)
    assert belt.triggers(1) == pytest.approx(100 + 0.35 / 0.5)
    assert belt.photographed(1) == pytest.approx(100 + 0.45 / 0.5)
    assert belt.ejects(1) == pytest.approx(100 + 0.95 / 0.5)
    assert belt.ejects(3) == pytest.approx(belt.ejects(1) + 2 * 0.5)


def test_the_deadline_leaves_the_ejector_its_reaction_time() -> None:
    belt = Conveyor(PLAIN, seed=0, started=0.0)
    assert PLAIN.deadline_s == pytest.approx(0.6 / 0.5 - 0.02)
    assert belt.deadline(7) - belt.triggers(7) == pytest.approx(PLAIN.deadline_s)


def test_a_camera_that_fires_itself_triggers_when_it_sees_the_part() -> None:
    free = PLAIN.model_copy(update={"sensor_fires": False})
    belt = Conveyor(free, seed=0, started=0.0)
    assert belt.triggers(1) == belt.photographed(1)
    assert free.deadline_s == pytest.approx(1.0 - 0.02)


@given(geometries(), st.integers(0, 2**32), st.integers(1, 10_000))
def test_parts_keep_their_order_and_never_overlap(
    geometry: LineSettings, seed: int, part: int
) -> None:
    belt = Conveyor(geometry, seed=seed, started=0.0)
    apart = (belt.triggers(part + 1) - belt.triggers(part)) * geometry.speed
    assert apart >= geometry.part_length - 1e-6
    assert belt.triggers(part) <= belt.photographed(part) < belt.ejects(part)


@given(
    geometries(),
    st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.05, 5.0)), min_size=1, max_size=4),
)
def test_a_change_of_speed_moves_only_what_is_still_to_come(
    geometry: LineSettings, changes: list[tuple[float, float]]
) -> None:
    belt = Conveyor(geometry, seed=1, started=0.0)
    now = 0.0
    for pause, speed in changes:
        now += pause
        before = [belt.ejects(part) for part in range(1, 8)]
        faster = speed > belt.speed
        belt.change_speed(speed, now)
        for old, new in zip(before, [belt.ejects(part) for part in range(1, 8)], strict=True):
            if old <= now:
                assert new == pytest.approx(old)
            else:
                assert new >= now - 1e-9
                assert new <= old + 1e-6 if faster else new >= old - 1e-6


def test_a_belt_that_would_stand_is_refused() -> None:
    belt = Conveyor(PLAIN, seed=0, started=0.0)
    for speed in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="speed can't be"):
            belt.change_speed(speed, 1.0)
    assert belt.speed == 0.5


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"speed": 0}, "speed: must be above 0"),
        ({"pitch": 0.05}, "pitch: parts of 0.1 m would overlap"),
        ({"camera_at": 0.05}, "camera_at: lies before the trigger sensor at 0.1 m, which fires"),
        ({"ejector_at": 0.2}, "ejector_at: must lie behind the camera at 0.2 m"),
        ({"jitter": -1}, "jitter: must not be below 0"),
        ({"reaction_ms": 1000}, "reaction_ms: 1000 ms from camera to ejector leave no time"),
        ({"speed": float("inf")}, "finite"),
    ],
)
def test_an_impossible_geometry_is_refused_in_words(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        validate(PLAIN.model_dump() | wrong, LineSettings, "the line")


def test_all_that_is_impossible_is_told_at_once() -> None:
    wrong = {"speed": 0, "pitch": 0.01, "camera_at": 0.0, "ejector_at": -1, "jitter": -1}
    with pytest.raises(SettingsError) as raised:
        validate(wrong, LineSettings, "the line")
    assert str(raised.value).startswith("5 mistakes in the line")


def test_a_camera_may_lie_before_a_sensor_that_does_not_fire_it() -> None:
    settings = LineSettings(sensor_fires=False, trigger_at=0.5, camera_at=0.1)
    assert settings.deadline_s > 0
