"""The pages of the cloud itself: the one place where they are made of what they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloud.accounts.access import Access
from cloud.alerts.assembly import AlertOffice
from cloud.costs.meter import CostMeter
from cloud.dashboard.account import own_page
from cloud.dashboard.alerts import alerts_page
from cloud.dashboard.audit import audit_page
from cloud.dashboard.cost import cost_page
from cloud.dashboard.drift import drift_facts, drift_page
from cloud.dashboard.live import LiveFragments
from cloud.dashboard.overview import live_page, wall_page
from cloud.dashboard.part import PartSources, part_page
from cloud.dashboard.parts import parts_page
from cloud.dashboard.people import people_page
from cloud.dashboard.quality import quality_page
from cloud.dashboard.review import ReviewDesk, review_page
from cloud.dashboard.shift import shift_page
from cloud.dashboard.stream import LiveStreams
from cloud.dashboard.thresholds import thresholds_page
from cloud.drift.review import drifted_windows
from cloud.drift.store import DriftStore
from cloud.health.line_watch import LineWatch
from cloud.health.running_promise import PromiseMonitor
from cloud.labels.kinds import DefectKinds
from cloud.labels.queue import ReviewQueue
from cloud.quality.shift_alerts import KeptShiftAlerts
from cloud.quality.shift_report import ShiftReports
from cloud.records.neighbours import PartNeighbours
from cloud.records.queries import Records
from cloud.records.rollups import Rollups
from cloud.records.saved_views import SavedViews
from cloud.web.context import Backstage
from cloud.web.labels import LabelDesk
from cloud.web.pages import RecordsContext
from cloud.web.pictures import PictureDesk
from shared.plugins.candidates import HasShelf
from shared.plugins.pages import Page

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Desks:
    """What the pages and the API have in common."""

    records: Records
    access: Access
    promises: PromiseMonitor
    labels: LabelDesk
    pictures: PictureDesk
    alerts: AlertOffice
    drift: DriftStore
    costs: CostMeter


def dashboard_pages(backstage: Backstage, desks: Desks) -> list[Page[RecordsContext]]:
    """Everything that people look at whatever is plugged in."""
    database, clock = backstage.database, backstage.clock
    rollups, alerts = Rollups(database), desks.alerts
    watch = backstage.watch or LineWatch(database, backstage.health, desks.promises, clock)
    live = LiveFragments(desks.records, watch, clock)
    streams = LiveStreams(live.fragments, backstage.stopping)
    kinds = DefectKinds(database, desks.access.audit, backstage.kinds)
    drifted = drifted_windows(desks.drift, clock)
    queue = ReviewQueue(database, clock, drifted=drifted)
    reviews = ReviewDesk(database, desks.labels, kinds, queue, desks.pictures)
    sources = PartSources(
        PartNeighbours(database), desks.pictures, backstage.bundles, desks.labels, kinds
    )
    reports = ShiftReports(rollups, KeptShiftAlerts(database))
    shelf = next((one.shelf for one in backstage.services if isinstance(one, HasShelf)), None)
    return [
        live_page(live, streams),
        wall_page(live, streams),
        alerts_page(alerts.board, alerts.desk, alerts.store),
        parts_page(rollups, SavedViews(database)),
        part_page(sources),
        review_page(reviews),
        quality_page(rollups, backstage.shifts, partial(drift_facts, desks.drift)),
        shift_page(reports, backstage.shifts, backstage.bundles),
        drift_page(desks.drift, desks.access.audit),
        thresholds_page(database, backstage.bundles, shelf),
        cost_page(desks.costs),
        people_page(desks.access),
        audit_page(desks.access),
        own_page(desks.access),
    ]
