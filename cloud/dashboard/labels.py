"""What pages show of a part's labels, and the forms that they send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.labels.kinds import DefectKinds
from cloud.labels.views import EntryView
from cloud.records.views import InspectionView
from cloud.web.labels import MOST_AT_ONCE, GivenLabel, LabelDesk, SignedIn
from shared.contracts import InspectionKey
from shared.errors import SettingsError
from shared.inspection import LARGEST_NUMBER
from shared.web.access import Caller
from shared.web.forms import form_lists
from shared.web.roles import OWN_ENTRY, needs

MAX_FORM = 64 * 1024
Fields = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class LabelCard:
    """What `fragments/label.html` shows of a part.

    address  device/boot/sequence
    seen     the number of the last label that is shown, 0 where there is none
    back     the page to which its forms lead back
    """

    address: str
    entries: Sequence[EntryView]
    kinds: Sequence[str]
    seen: int
    back: str

    def may_take_back(self, entry: EntryView, caller: Caller) -> bool:
        """Whether the page offers it."""
        if not caller.may("inspector", "label"):
            return False
        own = not caller.proven or entry.inspector == caller.name
        return own or caller.may("engineer", "label")


def address_of(key: InspectionKey) -> str:
    """As in the path of its page."""
    return "/".join(quote(str(part), safe="") for part in key)


def key_of(address: str) -> InspectionKey:
    """The key of `device/boot/sequence`. Raises SettingsError."""
    parts = address.split("/")
    if len(parts) == 3 and parts[2].isascii() and parts[2].isdigit() and "\0" not in address:
        sequence = int(parts[2][:20])
        if 0 < sequence <= LARGEST_NUMBER and len(parts[0]) <= 63 and len(parts[1]) <= 64:
            return InspectionKey(parts[0], parts[1], sequence)
    raise SettingsError(f"{address[:80]!r} names no part", fix="write device/boot/sequence")


def label_card(
    desk: LabelDesk, kinds: DefectKinds, view: InspectionView, back: str = ""
) -> LabelCard:
    """back: another page than the part's own. Raises RecordsError."""
    return label_cards(desk, kinds, [view], back)[0]


def label_cards(
    desk: LabelDesk, kinds: DefectKinds, views: Sequence[InspectionView], back: str = ""
) -> list[LabelCard]:
    """The same of several parts, in their order."""
    keys = [view.key for view in views]
    said = desk.history.of_several(keys)
    known = kinds.of({(view.site, view.line) for view in views})
    cards = []
    for key, view in zip(keys, views, strict=True):
        entries = said.get(key, [])
        seen = max((one.number for one in entries), default=0)
        page = back or f"/inspections/{address_of(key)}"
        own = known[view.site, view.line]
        cards.append(LabelCard("/".join(map(str, key)), entries, own, seen, page))
    return cards


async def read_form(request: Request) -> Fields:
    """Every value of each field. Raises SettingsError for a form that is too long."""
    found = await form_lists(request, MAX_FORM)
    if found is None:
        raise SettingsError("the form is too long", fix="choose fewer parts")
    return found


Form = Annotated[Fields, Depends(read_form)]


def first(form: Fields, name: str) -> str:
    """The field's text; empty where it was not sent."""
    return form.get(name, [""])[0].strip()


def label_form_routes(desk: LabelDesk) -> APIRouter:
    """What labels' forms are sent to, below the page's path."""
    routes = APIRouter(dependencies=[needs("inspector", "label", OWN_ENTRY)])

    @routes.post("/labels")
    async def label(form: Form, caller: SignedIn) -> Response:
        """One label for each part that is chosen; then back, which offers to take it back."""
        parts = form.get("part", [])
        if not 0 < len(parts) <= MOST_AT_ONCE:
            raise SettingsError(f"{len(parts)} parts are chosen", fix=f"choose 1 to {MOST_AT_ONCE}")
        seen = form.get("seen", [])
        given = [
            (key_of(part), _label(form, seen[at] if len(seen) == len(parts) else ""))
            for at, part in enumerate(dict.fromkeys(parts))
        ]
        inspector = first(form, "inspector") or None
        outcomes = await run_in_threadpool(desk.say, given, caller, inspector)
        return back_to(form, said=",".join(str(one.number) for one in outcomes))

    @routes.post("/undo")
    async def undo(form: Form, caller: SignedIn) -> Response:
        """Take labels back, and show the page without them."""
        told = [number for text in form.get("number", []) for number in text.split(",")]
        if not told or not all(number.isascii() and number.isdigit() for number in told):
            raise SettingsError("no label is named", fix="send its `number`")
        numbers = [min(int(number[:20]), LARGEST_NUMBER) for number in told[:MOST_AT_ONCE]]
        inspector = first(form, "inspector") or None
        await run_in_threadpool(desk.take_back, numbers, caller, inspector)
        return back_to(form)

    return routes


def back_to(form: Fields, **more: str) -> Response:
    """The page that the form came from, of this site only."""
    asked = urlsplit(first(form, "back"))
    inside = not asked.scheme and not asked.netloc and asked.path.startswith("/")
    path = asked.path if inside and not asked.path.startswith("//") else "/review"
    kept = [part for part in asked.query.split("&") if part and not part.startswith("said=")]
    query = "&".join([*kept, urlencode(more)] if more and path == "/review" else kept)
    return RedirectResponse(f"{path}?{query}" if query else path, status_code=303)


def _label(form: Fields, seen: str) -> GivenLabel:
    drawing = first(form, "drawing")
    facts = {
        "verdict": first(form, "verdict"),
        "kind": first(form, "kind") or None,
        "why": first(form, "why"),
        "drawing": drawing or None,
        "seen": int(seen) if seen.isascii() and seen.isdigit() else None,
    }
    if facts["verdict"] == "pass":
        facts.update(kind=None, drawing=None)
    try:
        return GivenLabel.model_validate(facts)
    except ValidationError as error:
        told = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors() if one["loc"])
        raise SettingsError(
            told or "the label can't be read", fix="choose pass or reject"
        ) from error
