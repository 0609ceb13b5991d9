"""The page on which somebody moves the gate's thresholds and sees what that would have meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.dashboard.form import PageQuery
from cloud.dashboard.histogram import histogram, ticks, x_of_place
from cloud.records.database import Database
from cloud.records.queries import Filter, OptionalName
from cloud.thresholds.controls import contradictions
from cloud.thresholds.gate_candidate import GateWish, next_version, offer_gate
from cloud.thresholds.labelled_parts import MOST, Drawn, FoundParts, labelled_parts
from cloud.thresholds.marks import MARKS, Marks, place_of
from cloud.thresholds.outcome import GateOutcome, outcome_of
from cloud.thresholds.parts import KnownParts
from cloud.thresholds.promise import PromiseRange, promise_range
from cloud.web.pages import RecordsContext
from shared.bundles.bundle import Bundle
from shared.certification.prices import Prices
from shared.certification.promises import describe
from shared.errors import SettingsError, SplitsightError
from shared.format import iso
from shared.plugins.candidates import CandidateShelf
from shared.plugins.pages import Page
from shared.web.access import visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

TEMPLATES = Path(__file__).parent / "templates"
HOME = "/thresholds"
DAY_S = 86_400.0
PRICES = Prices()
KEPT_S = 5.0
WISH = frozenset({"version", "why", "by"})
SetName = Literal["tested", "controls", "labelled"]
SETS: tuple[SetName, ...] = get_args(SetName)
Bundles = Callable[[], Sequence[Bundle]]
Share = Annotated[float | None, Field(ge=0, le=1.0000000000000009)]


class ThresholdQuery(PageQuery):
    """What can be asked of the page: which parts, and where the marks stand."""

    bundle: OptionalName = None
    parts: SetName | None = None
    site: OptionalName = None
    line: OptionalName = None
    days: Annotated[int | None, Field(ge=1, le=3660)] = None
    since: float | None = None
    until: float | None = None
    pass_below: Share = None
    reject_from: Share = None
    cloud_pass_below: Share = None
    cloud_reject_from: Share = None
    saved: OptionalName = None

    @property
    def moved(self) -> dict[str, float]:
        given = {name: getattr(self, name) for name in MARKS}
        return {name: value for name, value in given.items() if value is not None}

    def among(self) -> dict[str, str]:
        """Which parts, for an address."""
        names = ("bundle", "parts", "site", "line", "days", "since", "until")
        given = {name: getattr(self, name) for name in names}
        return {name: str(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the page shows of one bundle, one set of parts and one place of the marks."""

    bundle: Bundle
    set_name: SetName
    parts: KnownParts
    newest: bool
    promised: PromiseRange
    present: Marks
    marks: Marks
    before: GateOutcome
    after: GateOutcome
    controls: int
    against: list[str]

    @property
    def keeps(self) -> bool:
        return self.promised.holds(self.marks.gate) and not self.against

    @property
    def broken(self) -> list[str]:
        return self.promised.broken_by(self.marks.gate)


def thresholds_page(
    database: Database, bundles: Bundles, shelf: CandidateShelf | None
) -> Page[RecordsContext]:
    """bundles: those that are served; shelf: where candidates are kept, None: nowhere"""

    def routes_with(context: RecordsContext) -> APIRouter:
        return ThresholdPages(context, database, bundles, shelf).routes()

    return Page("Thresholds", HOME, TEMPLATES, routes_with, changes=None, group="Quality", order=40)


class ThresholdPages:
    """The page, the panel that its script fetches anew, and the form that saves."""

    def __init__(
        self,
        context: RecordsContext,
        database: Database,
        bundles: Bundles,
        shelf: CandidateShelf | None,
    ) -> None:
        self._context = context
        self._database = database
        self._bundles = bundles
        self._shelf = shelf
        # By the bundle's id, which says what it is: the test takes a while.
        self._ranges: dict[str, PromiseRange] = {}
        # A mark that is dragged asks for the same parts again and again.
        self._found: dict[tuple[str, Filter, Drawn], tuple[float, FoundParts]] = {}

    def routes(self) -> APIRouter:
        routes = APIRouter()
        routes.get("")(self.page)
        routes.get("/outcome")(self.outcome)
        orders = [needs("engineer", "rollout", OWN_ENTRY)]
        routes.post("", dependencies=orders)(self.save)
        return routes

    def page(self, asked: Annotated[ThresholdQuery, Query()]) -> Response:
        return self._page(asked)

    def outcome(self, asked: Annotated[ThresholdQuery, Query()]) -> Response:
        """What the script asks for when a mark has come to rest."""
        view = self._view(asked)
        if view is None:
            return self._page(asked)
        return self._context.render("fragments/thresholds_promise.html", **self._facts(asked, view))

    async def save(self, request: Request) -> Response:
        said = await form_fields(request)
        return await run_in_threadpool(self._save, request, said)

    def _save(self, request: Request, said: Mapping[str, str]) -> Response:
        visit = visit_of(request)
        version, why = said.get("version", "").strip(), said.get("why", "").strip()
        wanted = {name: value for name, value in said.items() if name not in WISH}
        asked = ThresholdQuery.model_validate(wanted)
        view = self._view(asked)
        if view is None or self._shelf is None:
            raise SettingsError("nothing can be saved here", fix="serve a bundle and a fleet")
        by = visit.caller.signs(said.get("by"), "by")
        wish = GateWish(view.marks.gate, version, by, why)
        try:
            wish.require_reason()
            entry = visit.caller.did(
                "gate candidate",
                f"{view.bundle.manifest.name} {version}",
                view.present.written(),
                {**view.marks.written(), "why": why, "keeps": view.keeps},
                by,
            )
            visit.trail.record(entry)
            name = offer_gate(
                view.bundle,
                wish,
                self._shelf,
                parts=view.parts,
                contradictions=view.against,
                created=iso(self._context.clock.utc()),
                prices=PRICES,
            )
        except SplitsightError as error:
            return self._page(asked, 409, error, why, version)
        given = {**asked.among(), **view.marks.written(), "saved": name}
        return RedirectResponse(f"{HOME}?{urlencode(given)}", status_code=303)

    def _page(
        self,
        asked: ThresholdQuery,
        status: int = 200,
        error: SplitsightError | None = None,
        why: str = "",
        version: str = "",
    ) -> Response:
        view = self._view(asked)
        facts: dict[str, Any] = {"asked": asked, "view": None, "error": error}
        if view is not None:
            facts |= self._facts(asked, view)
            facts |= {"why": why, "version": version or self._next_version(view.bundle)}
            facts |= self._drawing(view)
        return self._context.render("thresholds.html", status, **facts)

    def _next_version(self, bundle: Bundle) -> str:
        manifest = bundle.manifest
        return next_version(
            manifest.version, self._shelf.taken(manifest.name) if self._shelf else ()
        )

    def _view(self, asked: ThresholdQuery) -> View | None:
        """None: no bundle is served."""
        bundle = self._chosen(asked)
        if bundle is None:
            return None
        promised = self._promised(bundle)
        wanted = Filter(
            site=asked.site, line=asked.line, since=self._since(asked), until=asked.until
        )
        controls = self._parts(bundle.id, wanted, "controls")
        set_name, parts, newest = asked.parts, controls.parts, controls.newest
        if set_name is None:
            set_name = "tested" if bundle.tested else "controls" if parts.parts else "labelled"
        if set_name == "tested":
            parts = KnownParts.tested(bundle.tested) if bundle.tested else KnownParts.none()
            newest = False
        elif set_name == "labelled":
            found = self._parts(bundle.id, wanted, "labelled")
            parts, newest = found.parts, found.newest
        gate, delta = bundle.manifest.gate.gate, promised.delta
        marks = Marks.of(gate, asked.moved)
        return View(
            bundle,
            set_name,
            parts,
            newest,
            promised,
            Marks.of(gate),
            marks,
            outcome_of(parts, gate, PRICES, delta),
            outcome_of(parts, marks.gate, PRICES, delta),
            controls.parts.parts,
            contradictions(controls.parts, marks.gate, promised),
        )

    def _parts(self, bundle: str, wanted: Filter, drawn: Drawn) -> FoundParts:
        """As they were KEPT_S ago at most."""
        now, key = self._context.clock.monotonic(), (bundle, wanted, drawn)
        held = {at: one for at, one in self._found.items() if now - one[0] < KEPT_S}
        if key not in held:
            held[key] = (now, labelled_parts(self._database, bundle, wanted, drawn))
        self._found = held
        return held[key][1]

    def _chosen(self, asked: ThresholdQuery) -> Bundle | None:
        served = list(self._bundles())
        if asked.bundle is None:
            return served[-1] if served else None
        for one in served:
            if one.id == asked.bundle:
                return one
        known = ", ".join(one.id for one in served) or "none"
        raise SettingsError(
            f"the bundle {asked.bundle} is not served here", fix=f"served are: {known}"
        )

    def _promised(self, bundle: Bundle) -> PromiseRange:
        if bundle.id not in self._ranges:
            self._ranges = {**self._ranges, bundle.id: promise_range(bundle)}
        return self._ranges[bundle.id]

    def _since(self, asked: ThresholdQuery) -> float | None:
        if asked.days is None:
            return asked.since
        # To the minute, so that the next look asks for the same.
        return (self._context.clock.utc() // 60) * 60 - asked.days * DAY_S

    def _facts(self, asked: ThresholdQuery, view: View) -> dict[str, Any]:
        manifest = view.bundle.manifest
        return {
            "asked": asked,
            "view": view,
            "bundles": list(self._bundles()),
            "promise": describe(manifest.certificate),
            "most": MOST,
            "prices": PRICES,
            "can_save": self._shelf is not None,
        }

    def _drawing(self, view: View) -> dict[str, Any]:
        parts, marks = view.parts, view.marks
        bad = parts.defective[parts.part]
        cloud = parts.cloud if view.bundle.manifest.gate.escalates else parts.edge[:0]
        heads = histogram(parts.edge, bad)
        both = histogram(cloud, bad[: len(cloud)])
        limits = self._limits(view) if view.promised.escape else {}
        return {
            "axis": ticks(),
            "histograms": {"edge": heads, "cloud": both},
            "x": {name: x_of_place(place) for name, place in marks.places.items()},
            "limit_x": {name: x_of_place(place) for name, place in limits.items()},
            "script": {
                "places": dict(marks.places),
                "present": dict(view.present.places),
                "review": view.bundle.manifest.gate.cloud_pass_below is not None,
                "escalates": view.bundle.manifest.gate.escalates,
                "delta": view.promised.delta,
                "prices": [PRICES.review, PRICES.escalation, PRICES.byte],
                "each": parts.escalation_bytes if parts.encoded.any() else None,
                **parts.in_places(),
            },
        }

    def _limits(self, view: View) -> dict[str, int]:
        """How far each mark may go, on its own: two of them may cross."""
        return {name: place_of(getattr(view.promised, name)) for name in view.marks.places}
