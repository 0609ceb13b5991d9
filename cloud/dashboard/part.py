"""One part: what was seen, what was made of it, and why; and what a person may do with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from cloud.dashboard import wording
from cloud.dashboard.labels import label_card
from cloud.dashboard.live import TEMPLATES
from cloud.dashboard.ruler import rulers
from cloud.dashboard.timeline import timeline
from cloud.labels.kinds import DefectKinds
from cloud.records.neighbours import PartNeighbours
from cloud.records.views import InspectionView
from cloud.web.labels import LabelDesk
from cloud.web.pages import RecordsContext
from cloud.web.pictures import PictureDesk
from cloud.web.routes import Name
from cloud.web.routes import Sequence as Number
from shared.bundles.bundle import Bundle
from shared.certification.promises import describe
from shared.contracts import InspectionKey
from shared.plugins.pages import Page
from shared.web.access import current_caller


@dataclass(frozen=True, slots=True)
class PartSources:
    """What the page reads beside the records.

    bundles   those that are served now
    """

    neighbours: PartNeighbours
    desk: PictureDesk
    bundles: Callable[[], Sequence[Bundle]]
    labels: LabelDesk
    kinds: DefectKinds


def part_page(sources: PartSources) -> Page[RecordsContext]:
    """The page of a part; its address is its key."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        page, records = context.render, context.records

        @routes.get("/{device}/{boot}/{sequence}")
        def part(device: Name, boot: Name, sequence: Number) -> Response:
            view = records.inspection(InspectionKey(device, boot, sequence))
            if view is None:
                return page("missing.html", 404, device=device, sequence=sequence)
            return page("part.html", view=view, **_facts(sources, view))

        return routes

    return Page("Part", "/inspections", TEMPLATES, routes_with, listed=False)


def _facts(sources: PartSources, view: InspectionView) -> dict[str, Any]:
    caller, desk = current_caller(), sources.desk
    awaited = wording.awaited(view)
    served = {one.id: one.manifest for one in sources.bundles()}
    manifest = served.get(str(view.model_dump()["bundle"] or ""))
    before, after = sources.neighbours.around(view)
    looks = caller.may("inspector", "label")
    box = desk.box(view)
    return {
        "awaited": awaited,
        "rulers": [] if awaited else rulers(view, manifest.gate if manifest else None),
        "promise": describe(manifest.certificate) if manifest else "",
        "steps": [] if awaited else timeline(view),
        "card": label_card(sources.labels, sources.kinds, view),
        "before": before,
        "after": after,
        "looks": looks,
        "shown": desk.state(view, caller) if looks else None,
        "at_once": looks and desk.rules.at_once,
        # Of another start of the box nobody knows what it ran on.
        "runtime": box.runtime if box is not None and box.boot == view.boot else "",
    }
