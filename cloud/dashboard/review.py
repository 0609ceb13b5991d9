"""The page on which inspectors work: one part after the other, or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloud.dashboard.labels import Form, LabelCard, first, key_of, label_cards
from cloud.dashboard.live import TEMPLATES
from cloud.dashboard.wording import awaited
from cloud.labels.agreement import InspectorAgreement, agreement_of
from cloud.labels.kinds import KEYS, DefectKinds
from cloud.labels.queue import QueueItem, ReviewQueue, ReviewScope
from cloud.records.database import Database
from cloud.records.queries import NO_NUL, OptionalName, Records
from cloud.records.views import InspectionView
from cloud.web.labels import LabelDesk, SignedIn
from cloud.web.pages import RecordsContext
from cloud.web.pictures import PictureDesk, PictureState
from cloud.web.problems import NotFound
from shared.contracts import InspectionKey
from shared.plugins.pages import Page
from shared.web.access import Caller
from shared.web.roles import OWN_ENTRY, needs

GRID = 24
AHEAD = 10
SAID = r"^[0-9][0-9,]*$"
# What the system or another inspector made of these is told once the inspector has spoken.
BLIND = ("split", "disputed", "second", "sample")
REASON_WORDS = {
    "review": "in review",
    "contradicted": "the cloud came late and says pass",
    "split": "inspectors differ",
    "disputed": "the system disputes the label",
    "deadline": "diverted by the deadline",
}


class Chosen(BaseModel):
    """Which parts are asked for, in the address of the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: OptionalName = None
    line: OptionalName = None
    device: OptionalName = None
    kind: OptionalName = Field(default=None, description="of defect, as the cloud suspects it")
    view: Literal["one", "grid"] = "one"
    item: str | None = Field(default=None, max_length=200, pattern=NO_NUL)
    said: str | None = Field(default=None, max_length=4000, pattern=SAID)

    def scope(self) -> ReviewScope:
        return ReviewScope(
            self.site or None, self.line or None, self.device or None, self.kind or None
        )

    def address(self, **other: str | None) -> str:
        """This page with other values; one that is None is left out."""
        asked = {**self.model_dump(exclude={"said", "item"}), **other}
        asked = {name: value for name, value in asked.items() if value}
        if asked.get("view") == "one":
            del asked["view"]
        return f"/review?{urlencode(asked)}" if asked else "/review"


class Following(Chosen):
    """What comes next, without what the page has already."""

    have: list[str] = Field(default=[], max_length=60)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A part before an inspector.

    card    its labels and kinds
    blind   what the system and others made of it is not told yet
    own     the number of the inspector's own last label, 0: none
    picture whether its picture can be seen now
    holder  who else has it before them; empty: nobody
    """

    view: InspectionView
    card: LabelCard
    blind: bool
    own: int
    picture: PictureState
    holder: str = ""

    @property
    def map_of(self) -> Literal["tail", "head", ""]:
        """Whose map lies over the picture; empty: none, so that nothing leads who looks."""
        if self.blind:
            return ""
        return "tail" if self.view.tail and self.view.tail.has_map else "head"


@dataclass(frozen=True, slots=True)
class LineKinds:
    """The kinds of defect of a line."""

    site: str
    line: str
    kinds: Sequence[str]


class ReviewDesk:
    """What the page is made of."""

    def __init__(
        self,
        database: Database,
        desk: LabelDesk,
        kinds: DefectKinds,
        queue: ReviewQueue,
        pictures: PictureDesk,
    ) -> None:
        self._database = database
        self._records = Records(database)
        self._desk = desk
        self.kinds = kinds
        self.queue = queue
        self._pictures = pictures

    def agreement(self) -> list[InspectorAgreement]:
        return agreement_of(self._database)

    def lines(self) -> list[LineKinds]:
        """Each line that has reported, with its kinds. Raises RecordsError."""
        known = dict.fromkeys((one.site, one.line) for one in self._records.devices())
        kinds = self.kinds.of(known)
        return [LineKinds(site, line, kinds[site, line]) for site, line in known]

    def item(self, key: InspectionKey, caller: Caller, back: str) -> ReviewItem | None:
        """None where nothing is stored under this key. Raises RecordsError."""
        found = self._made([key], caller, back)
        return found[0] if found else None

    def items(self, found: Sequence[QueueItem], caller: Caller, back: str) -> list[ReviewItem]:
        return self._made([one.key for one in found], caller, back)

    def _made(self, keys: Sequence[InspectionKey], caller: Caller, back: str) -> list[ReviewItem]:
        """In their order, without those that are not there."""
        known = self._records.several(keys)
        views = {key: known[key] for key in keys if key in known}
        cards = label_cards(self._desk, self.kinds, list(views.values()), back)
        leases = self.queue.leases.of(views.keys())
        pictures = self._pictures.states(views.values(), caller)
        return [
            _item(view, card, leases.get(key), picture, caller.name)
            for (key, view), card, picture in zip(views.items(), cards, pictures, strict=True)
        ]


def _item(
    view: InspectionView,
    card: LabelCard,
    lease: tuple[str, str] | None,
    picture: PictureState,
    holder: str,
) -> ReviewItem:
    given = [one for one in card.entries if not one.undone_at]
    own = max((one.number for one in given if one.inspector == holder), default=0)
    mine = lease is not None and lease[0] == holder
    reason = lease[1] if lease is not None and mine else ""
    others = any(one.inspector != holder for one in given)
    blind = not own and (awaited(view) or others or reason in BLIND)
    return ReviewItem(view, card, blind, own, picture, "" if lease is None or mine else lease[0])


def review_page(desk: ReviewDesk) -> Page[RecordsContext]:
    """Parts that wait for a person."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def review(chosen: Annotated[Chosen, Query()], caller: SignedIn) -> Response:
            many = chosen.view == "grid"
            back = chosen.address()
            if chosen.item and not many:
                one = desk.item(key_of(chosen.item), caller, back)
                items = [one] if one else []
            else:
                count = GRID if many else 1
                found = desk.queue.take(caller.name, count, chosen.scope())
                items = desk.items(found, caller, back)
            return context.render(
                "review_grid.html" if many else "review.html",
                here="/review",
                chosen=chosen,
                items=items,
                item=items[0] if items else None,
                kinds=_kinds(items),
                waiting=desk.queue.waiting(caller.name, chosen.scope()),
                keys=KEYS,
                reason_words=REASON_WORDS,
            )

        @routes.get("/item")
        def item(chosen: Annotated[Chosen, Query()], caller: SignedIn) -> Response:
            """One part, for the page that is there already."""
            key = key_of(chosen.item or "")
            found = desk.item(key, caller, chosen.address())
            if found is None:
                raise NotFound("this part is not here", fix="go on to the next one")
            return context.render(
                "fragments/review_item.html", item=found, keys=KEYS, chosen=chosen
            )

        @routes.get("/take")
        def take(chosen: Annotated[Following, Query()], caller: SignedIn) -> Response:
            """The parts that come next, and how many wait."""
            scope = chosen.scope()
            have = {key_of(address) for address in chosen.have}
            found = desk.queue.take(caller.name, AHEAD, scope, have)
            return JSONResponse(
                {
                    "items": ["/".join(map(str, one.key)) for one in found],
                    "waiting": sum(desk.queue.waiting(caller.name, scope).values()),
                },
                headers={"cache-control": "no-store"},
            )

        @routes.get("/agreement")
        def agreement() -> Response:
            rows = desk.agreement()
            return context.render("review_agreement.html", here="/review", rows=rows)

        @routes.get("/kinds")
        def kinds() -> Response:
            return context.render("review_kinds.html", here="/review", lines=desk.lines())

        @routes.post("/kinds", dependencies=[needs("engineer", "label", OWN_ENTRY)])
        def written(form: Form, caller: SignedIn) -> Response:
            names = first(form, "kinds").splitlines()
            desk.kinds.write(first(form, "site"), first(form, "line"), names, caller)
            return RedirectResponse("/review/kinds", status_code=303)

        return routes

    return Page("Review", "/review", TEMPLATES, routes_with, "inspector", None, "Parts", 20)


def _kinds(items: Sequence[ReviewItem]) -> list[str]:
    """Of all lines that are shown."""
    return list(dict.fromkeys(kind for one in items for kind in one.card.kinds))
