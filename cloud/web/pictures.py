"""Pictures of parts under /api: asked of their box, written down, shown, and kept nowhere."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from cloud.pictures.base import BoxSilent, PictureKept, PictureRules, Pictures, ShownPicture
from cloud.pictures.heat import overlay
from cloud.pictures.store import LONGEST_REASON, BoxState, PictureRequests, WantedPicture
from cloud.records.queries import NO_NUL, Records
from cloud.records.views import InspectionView
from cloud.web.problems import NotFound, Problem, problem
from cloud.web.routes import Name, Sequence, find
from shared.clock import Clock
from shared.contracts import InspectionKey, PictureKind
from shared.errors import AccessRefused, PictureError, SettingsError
from shared.inspection import NO_PICTURE
from shared.topics import Address
from shared.web.access import Caller, caller_of
from shared.web.audit import AuditTrail
from shared.web.forms import is_foreign
from shared.web.roles import OWN_ENTRY, needs

Shown = Literal["full", "region"]
By = Annotated[Caller, Depends(caller_of)]
# Shown once, to whom it is written down for.
NOT_KEPT = {"cache-control": "no-store"}
INSPECTS = [needs("inspector", "label", OWN_ENTRY)]


class PictureQuery(BaseModel):
    """What is wanted of a picture, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: Shown | None = Field(
        default=None,
        description="full, or region: the place that is the most suspicious to the head; null: as "
        "much as may be seen",
    )
    reason: str = Field(
        default="",
        max_length=LONGEST_REASON,
        pattern=NO_NUL,
        description="why, for the audit log; pictures.reasons says whether it must be given",
    )
    ahead: bool = Field(
        default=False,
        description="it is fetched for somebody who will look in a moment, or will not: the audit "
        "log says so, and where the box is away nothing is kept",
    )


class MapQuery(BaseModel):
    """Whose map."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: Literal["tail", "head"] = Field(
        default="tail", description="tail: as the cloud found it; head: made again by the box"
    )


class PictureState(BaseModel):
    """Whether a picture can be seen now, without looking at it."""

    state: Literal["ready", "away", "kept", "none"] = Field(
        description="ready: its box is there; away: it is not; kept: this cloud shows none of its "
        "site; none: the box has kept no picture of it"
    )
    what: Shown | None = Field(description="the most that may be seen, by this cloud's policy")
    since: float | None = Field(description="when the box was last heard of, UTC seconds")
    asked_at: float | None = Field(
        description="when you asked for it and the box was away, UTC seconds; null: you did not"
    )
    reasons: bool = Field(description="whether a reason must be given")


@dataclass(frozen=True, slots=True)
class PictureDesk:
    """What answers who wants to see a part."""

    records: Records
    requests: PictureRequests
    pictures: Pictures
    rules: PictureRules
    clock: Clock

    async def look(
        self, view: InspectionView, asked: PictureQuery, caller: Caller, trail: AuditTrail
    ) -> ShownPicture:
        """The picture, after it was written down who sees it. Raises PictureError, RecordsError."""
        wanted = self._most(view, asked.what)
        reason = asked.reason.strip()
        if self.rules.reasons and not reason:
            raise SettingsError("reason: nothing says why", fix="say in `reason` why you look")
        key = view.key
        try:
            await run_in_threadpool(self._require_there, view)
            try:
                picture = await self._fetch(view, wanted)
            except PictureKept as kept:
                # The box lets out less than this cloud would show.
                least = self.rules.most_of(view.site, kept.policy)
                if asked.what is not None or least != "region":
                    raise
                picture = await self._fetch(view, "region")
        except BoxSilent as error:
            if asked.ahead:
                raise
            wish = WantedPicture(wanted, reason, self.clock.utc())
            await run_in_threadpool(self.requests.keep, key, caller.name, wish)
            raise BoxSilent(
                error.message, fix=f"your request is kept until it is back; {error.fix}"
            ) from error
        facts = {
            "what": picture.what,
            "reason": reason,
            "bytes": len(picture.content),
            "sha256": picture.sha256[:16],
            **({"ahead": True} if asked.ahead else {}),
        }
        entry = caller.did("picture seen", "/".join(map(str, key)), after=facts)
        await run_in_threadpool(trail.record, entry)
        if not asked.ahead:
            await run_in_threadpool(self.requests.drop, key, caller.name)
        return picture

    async def head_map(self, view: InspectionView) -> ShownPicture:
        """What the head makes of it. Raises PictureError."""
        self._most(view, None)
        return await self._fetch(view, "map")

    def state(self, view: InspectionView, caller: Caller) -> PictureState:
        """Raises RecordsError."""
        return self.states([view], caller)[0]

    def states(self, views: Collection[InspectionView], caller: Caller) -> list[PictureState]:
        """The same of several parts, in their order."""
        boxes = self.requests.boxes(map(address_of, views))
        wishes = self.requests.waiting((view.key for view in views), caller.name)
        return [
            self._state(view, boxes.get(address_of(view)), wishes.get(view.key)) for view in views
        ]

    def _state(
        self, view: InspectionView, box: BoxState | None, wish: WantedPicture | None
    ) -> PictureState:
        most = self.rules.most_of(view.site)
        state: Literal["ready", "away", "kept", "none"] = "away"
        if most is None:
            state = "kept"
        elif _digest_of(view) == NO_PICTURE:
            state = "none"
        elif box is not None and box.online:
            state = "ready"
        return PictureState(
            state=state,
            what=most if most != "map" else None,
            since=box.seen_at if box else None,
            asked_at=wish.asked_at if wish else None,
            reasons=self.rules.reasons,
        )

    def box(self, view: InspectionView) -> BoxState | None:
        """Its box as the cloud last heard of it. Raises RecordsError."""
        return self.requests.box(address_of(view))

    def _most(self, view: InspectionView, wanted: Shown | None) -> PictureKind:
        """What is asked of the box. Raises PictureKept where this cloud's policy keeps it."""
        policy = self.rules.policy_of(view.site)
        most = self.rules.most_of(view.site)
        if most is None or (wanted == "full" and most != "full"):
            raise PictureKept(
                f"this cloud shows {'no pictures' if most is None else 'no whole pictures'} of "
                f"{view.site}",
                fix="see pictures.policy and pictures.sites in its configuration",
                policy=policy,
            )
        return wanted or most

    def _require_there(self, view: InspectionView) -> None:
        """Raises BoxSilent where the cloud knows already that nobody would answer."""
        box = self.box(view)
        if box is not None and not box.online:
            raise BoxSilent(f"{view.device} is away", fix="see whether it runs, and its link")

    async def _fetch(self, view: InspectionView, what: PictureKind) -> ShownPicture:
        address, key = address_of(view), view.key
        return await self.pictures.fetch(address, key, what, _digest_of(view))


def _named(device: Name, boot: Name, sequence: Sequence) -> InspectionKey:
    return InspectionKey(device, boot, sequence)


Key = Annotated[InspectionKey, Depends(_named)]


def _digest_of(view: InspectionView) -> str:
    return str(view.model_dump(include={"digest"})["digest"] or "")


def address_of(view: InspectionView) -> Address:
    return Address(view.site, view.line, view.device)


def picture_routes(desk: PictureDesk, trail: AuditTrail) -> APIRouter:
    """Looking at parts."""
    told = {"model": Problem}
    routes = APIRouter(prefix="/api", responses={503: told})
    of_part = "/inspections/{device}/{boot}/{sequence}"
    codes = (401, 403, 404, 410, 422, 429, 502, 504)
    answers: dict[int | str, dict[str, Any]] = dict.fromkeys(codes, told)

    async def found(key: InspectionKey) -> InspectionView:
        return await run_in_threadpool(find, desk.records, key)

    @routes.get(
        f"{of_part}/picture",
        response_class=Response,
        responses={
            **answers,
            200: {
                "content": {"image/jpeg": {}, "image/png": {}},
                "description": "as the box has kept it; `x-picture-*` say what it is of",
            },
        },
        dependencies=INSPECTS,
    )
    async def picture(
        request: Request,
        key: Key,
        asked: Annotated[PictureQuery, Query()],
        caller: By,
    ) -> Response:
        """The part as its camera saw it, from the box that has it. Who looks is written down."""
        _require_own(request)
        view = await found(key)
        try:
            shown = await desk.look(view, asked, caller, trail)
        except PictureError as error:
            return _told(error)
        return Response(shown.content, media_type=shown.media, headers=_headers(shown))

    @routes.get(
        f"{of_part}/picture/state",
        responses={404: told},
        dependencies=[needs("inspector", "label")],
    )
    def state(key: Key, caller: By) -> PictureState:
        """Whether its picture can be seen now."""
        return desk.state(find(desk.records, key), caller)

    @routes.get(
        f"{of_part}/heat.png",
        response_class=Response,
        responses={
            **answers,
            200: {"content": {"image/png": {}}, "description": "clear where nothing is suspected"},
        },
        dependencies=[needs("inspector", "label")],
    )
    async def heat(key: Key, asked: Annotated[MapQuery, Query()]) -> Response:
        """A defect map to lay over the picture, of all of it."""
        view = await found(key)
        if view.control and view.label is None:
            raise AccessRefused(
                "this part was drawn for a person to look at, who shall know nothing of its map",
                fix="label it; then its map is shown",
            )
        if asked.of == "head":
            try:
                made = await desk.head_map(view)
            except PictureError as error:
                return _told(error)
            headers = {**NOT_KEPT, "x-picture-bundle": made.bundle}
            return Response(overlay(made.content), media_type="image/png", headers=headers)
        stored = await run_in_threadpool(desk.records.pictures, view.key)
        if stored is None:
            raise NotFound(
                f"there is no defect map of {'/'.join(map(str, key))}",
                fix="only escalations have one here; of=head asks the box for its own",
            )
        headers = {"cache-control": "private, max-age=86400"}
        return Response(overlay(stored[0]), media_type="image/png", headers=headers)

    return routes


def _require_own(request: Request) -> None:
    """A look is written down in somebody's name: no other site's page may have it done."""
    if "authorization" not in request.headers and is_foreign(request, unsaid=False):
        raise AccessRefused(
            "this came from another site's page", fix="open the part's page here, and look there"
        )


def _told(error: PictureError) -> Response:
    answer = problem(error.status, error.message, error.fix)
    if error.status in {429, 504}:
        answer.headers["retry-after"] = "2"
    return answer


def _headers(shown: ShownPicture) -> dict[str, str]:
    return {
        **NOT_KEPT,
        "x-picture-what": shown.what,
        "x-picture-frame": ",".join(map(str, shown.frame)),
        "x-picture-window": ",".join(map(str, shown.window)),
        "x-picture-bundle": shown.bundle,
    }
