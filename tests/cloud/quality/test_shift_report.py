"""What a shift came to: counts, kinds, stops, and what is over of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import event, insert

from cloud.alerts.tables import ALERTS
from cloud.configuration.shifts import ShiftSettings, WorkShift
from cloud.quality.figures import QualityFigures
from cloud.quality.pareto import OTHER, pareto
from cloud.quality.shift_alerts import KeptShiftAlerts
from cloud.quality.shift_report import (
    LinePlace,
    NoShiftAlerts,
    ShiftAlert,
    ShiftReports,
    Stop,
    stops_of,
)
from cloud.quality.trend import by_shift, days_between, shifts_between, step_of
from cloud.records.database import Database
from cloud.records.rollups import EVERYWHERE, RollupScope
from tests.cloud.makers import NOON, inspection, label, tail
from tests.cloud.records.test_rollups import Rolling

# 2027-01-15 08:00 UTC.
SHIFTS = ShiftSettings()
EARLY = SHIFTS.at(NOON)
PLACE = LinePlace("plant", "line-1")
REJECTED = {"verdict": "reject", "decision": "escalate", "decided_by": "cloud"}


def plant_of(database: Database) -> Rolling:
    """From NOON on a part a minute for half an hour but for ten minutes; line 2 has one part."""
    plant = Rolling(database, NOON + 1800)
    rows = [inspection(n, received_at=NOON + 60 * n + 1) for n in range(30) if not 10 <= n < 20]
    rows[0] = inspection(0, received_at=NOON + 1, **REJECTED)
    rows[1] = inspection(1, received_at=NOON + 61, decided_by="deadline", verdict="reject")
    plant.store.save(
        [*rows, inspection(99, line="line-2", received_at=NOON + 30)],
        [tail(0, kind="crack", received_at=NOON + 1)],
    )
    plant.store.label(label(5, verdict="reject", kind="hole"))
    plant.worker.roll()
    return plant


def test_of_no_lines_nothing_is_asked(every_database: Database) -> None:
    plant = plant_of(every_database)
    assert EARLY is not None
    reports = ShiftReports(plant.rollups, KeptShiftAlerts(every_database))
    asked = list[str]()
    event.listen(
        every_database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_more: asked.append(statement),
    )
    assert reports.reports([PLACE], EARLY, NOON + 1800)
    assert asked
    asked.clear()
    assert reports.reports([], EARLY, NOON + 1800) == []
    assert asked == []


def test_a_line_is_told_with_its_parts_kinds_reviews_and_stops(every_database: Database) -> None:
    plant = plant_of(every_database)
    assert EARLY is not None
    reports = ShiftReports(plant.rollups, NoShiftAlerts())
    assert reports.lines(EARLY) == [PLACE, LinePlace("plant", "line-2")]
    found = reports.report(PLACE, EARLY, NOON + 1800)
    figures = found.figures
    assert (figures.parts, figures.rejected, figures.passed) == (20, 2, 18)
    assert (figures.caught, figures.escaped, figures.deadline) == (1, 1, 1)
    assert (figures.labelled, figures.waiting) == (1, 1)
    assert {bar.kind: bar.share.count for bar in found.kinds} == {"crack": 1, "hole": 1, "": 1}
    # The shift began two hours before the first part; of what is to come nothing is idle.
    assert found.minutes == 150
    assert found.idle == 130
    assert [stop.minutes for stop in found.stops] == [120, 10]
    assert found.longest == Stop(int(EARLY.since), int(NOON))
    assert found.bundles == {"tiny 1.0.0": 20}


def test_a_shift_that_is_over_has_all_its_minutes(database: Database) -> None:
    plant = plant_of(database)
    assert EARLY is not None
    found = ShiftReports(plant.rollups, NoShiftAlerts()).report(PLACE, EARLY, EARLY.until + 999)
    assert found.minutes == EARLY.minutes == 480


def test_alerts_of_a_shift_are_asked_of_who_keeps_them(database: Database) -> None:
    assert EARLY is not None

    class Kept:
        def during(
            self, places: Sequence[LinePlace], since: float, until: float
        ) -> dict[LinePlace, list[ShiftAlert]]:
            return {
                one: [ShiftAlert(since, f"{one.line} stood until {until:.0f}", "acknowledged")]
                for one in places
            }

    found = ShiftReports(plant_of(database).rollups, Kept()).report(PLACE, EARLY, NOON)
    assert found.alerts[0].says == f"line-1 stood until {EARLY.until:.0f}"


def test_alerts_are_those_of_the_line_that_were_open_in_the_shift(database: Database) -> None:
    assert EARLY is not None
    none = dict.fromkeys(("site", "line", "device", "about", "fix", "by", "reason"), "")
    own = {**none, "site": "plant", "line": "line-1", "name": "no parts", "times": 1}
    times = dict.fromkeys(("began_at", "changed_at", "said_at"), NOON)
    with database.begin() as connection:
        for number, (line, raised, ended) in enumerate(
            [
                ("line-1", NOON, None),
                ("line-1", EARLY.since - 900, EARLY.since + 60),
                ("line-1", EARLY.since - 900, EARLY.since - 60),
                ("line-1", EARLY.until + 1, None),
                ("line-2", NOON, None),
                ("line-1", None, None),
            ]
        ):
            row = {**own, **times, "line": line, "raised_at": raised, "ended_at": ended}
            told = {"id": str(number), "says": f"alert {number}", "state": "acknowledged"}
            connection.execute(insert(ALERTS).values(**row, **told))
    other = LinePlace("plant", "line-2")
    found = KeptShiftAlerts(database).during([PLACE, other], EARLY.since, EARLY.until)
    said = {place.line: [one.says for one in alerts] for place, alerts in found.items()}
    assert said == {"line-1": ["alert 1", "alert 0"], "line-2": ["alert 4"]}


def test_shifts_add_up_to_what_came_in_all_of_them(every_database: Database) -> None:
    plant = plant_of(every_database)
    shifts = shifts_between(SHIFTS, NOON - 86_400, NOON + 1800)
    points = by_shift(plant.rollups, EVERYWHERE, shifts)
    assert sum(one.figures.parts for one in points) == 21
    assert QualityFigures.sum(one.figures for one in points) == QualityFigures.of(
        plant.rollups.totals()
    )
    (last,) = by_shift(plant.rollups, RollupScope(line="line-2"), shifts[-1:])
    assert last.figures.parts == 1


def test_shifts_at_odd_times_are_counted_in_steps_that_fit(database: Database) -> None:
    odd = ShiftSettings.model_validate(
        {
            "zone": "Asia/Kathmandu",
            "times": [
                {"name": "a", "starts": "05:50", "ends": "17:50"},
                {"name": "b", "starts": "17:50", "ends": "05:50"},
            ],
        }
    )
    shifts = shifts_between(odd, NOON - 86_400, NOON + 1800)
    assert step_of(shifts) == 300
    assert step_of(shifts_between(SHIFTS, NOON - 86_400, NOON)) == 3600
    points = by_shift(plant_of(database).rollups, EVERYWHERE, shifts)
    assert sum(one.figures.parts for one in points) == 21


def test_days_go_by_the_plants_calendar() -> None:
    berlin = ShiftSettings.model_validate({"zone": "Europe/Berlin"})
    days = days_between(
        berlin, berlin.day(date(2026, 3, 28)).since, berlin.day(date(2026, 3, 31)).since
    )
    assert [(one.day.day, one.minutes) for one in days] == [
        (28, 1440.0),
        (29, 1380.0),
        (30, 1440.0),
    ]


def test_short_gaps_are_no_stops() -> None:
    minutes = {60 * n: 0 if n in {1, 2, 5, 6, 7, 8, 9} else 1 for n in range(12)}
    assert stops_of(minutes) == [Stop(300, 600)]
    assert stops_of({60 * n: 0 for n in range(7)}) == [Stop(0, 420)]
    assert stops_of({}) == []


def test_kinds_beyond_the_commonest_are_put_together_and_add_up() -> None:
    bars = pareto({f"kind-{n}": 20 - n for n in range(15)}, most=5)
    assert [bar.kind for bar in bars] == ["kind-0", "kind-1", "kind-2", "kind-3", OTHER]
    assert bars[-1].upto == 1.0
    assert sum(bar.share.count for bar in bars) == sum(20 - n for n in range(15))
    assert pareto({}) == []


def test_a_shift_says_its_own_name() -> None:
    assert isinstance(EARLY, WorkShift)
    assert (EARLY.name, EARLY.day) == ("early", date(2027, 1, 15))
