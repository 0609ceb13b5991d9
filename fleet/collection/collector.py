"""Takes pictures off the line: asks the cloud for each, and keeps it with where it is from."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec

from fleet.client.part_api import PartApi, View
from fleet.collection.drawings import mask_over
from fleet.collection.folder import SUFFIXES, CollectionFolder
from fleet.collection.lineage import CollectedPicture, SaidLabel, facts_of, label_of
from fleet.collection.report import AWAY, BAD, GONE, KEPT, NONE, SILENT, CollectionReport
from fleet.collection.selection import PartSelection
from shared.clock import Clock, SystemClock
from shared.console import track
from shared.contracts import InspectionKey
from shared.errors import DataError
from shared.inspection import NO_PICTURE

BUSY_S = 2.0


class Collector:
    """One run. Asks a box for one picture at a time, and other boxes meanwhile in turn."""

    def __init__(
        self,
        api: PartApi,
        folder: CollectionFolder,
        reason: str,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._folder = folder
        self._reason = reason
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._refused: Counter[str] = Counter()
        self._told: dict[str, str] = {}
        # Devices that give nothing more in this run, and why; and when a busy one may be asked.
        self._closed: dict[str, str] = {}
        self._ready: dict[str, float] = {}

    def collect(self, selection: PartSelection, most: int | None) -> CollectionReport:
        """Fetch what fits and is not there. However it ends, the lists are of what is there.

        Raises DataError where the folder can't be written, and what PartApi raises.
        """
        views: dict[InspectionKey, View] = {}
        report = CollectionReport(out=str(self._folder.root))
        try:
            for asked in selection.questions():
                for view in self._api.parts(asked, most):
                    views[_key(view)] = view
            newest = sorted(views.values(), key=lambda view: -view["received_at"])[:most]
            lacking = [view for view in newest if _key(view) not in self._folder.pictures]
            report.found, report.there = len(newest), len(newest) - len(lacking)
            before = len(self._folder.pictures)
            for _ in track(self._settled(lacking), "fetching pictures", len(lacking)):
                report.fetched = len(self._folder.pictures) - before
            self._relabel()
        finally:
            self._folder.finish()
        whole = [one for one in self._folder.pictures.values() if one.what == "full"]
        report.labelled = sum(bool(one.defect) for one in whole)
        report.unlabelled = len(whole) - report.labelled
        report.regions = len(self._folder.pictures) - len(whole)
        report.refused, report.told = dict(self._refused), self._told
        return report

    def _settled(self, views: list[View]) -> Iterator[View]:
        """Each part once it has its picture, or none in this run."""
        waiting: dict[str, deque[View]] = {}
        for view in views:
            waiting.setdefault(view["device"], deque()).append(view)
        while waiting:
            now = self._clock.monotonic()
            ready = [name for name in waiting if self._ready.get(name, 0.0) <= now]
            if not ready:
                self._sleep(min(self._ready[name] for name in waiting) - now)
                continue
            for device in ready:
                if self._take(device, waiting[device][0]):
                    yield waiting[device].popleft()
                if not waiting[device]:
                    del waiting[device]

    def _take(self, device: str, view: View) -> bool:
        """Whether nothing more is to be done about a part in this run."""
        if view.get("digest") == NO_PICTURE:
            return self._refuse(NONE, "its box keeps other pictures: journal.ring_keep")
        if device not in self._ready:
            # Asked first, so that what this cloud shows nobody is not asked of its box.
            self._ready[device] = 0.0
            state = self._api.picture_state(_key(view))["state"]
            if state == "kept":
                self._closed[device] = KEPT
            elif state == "away":
                self._closed[device] = AWAY
        if device in self._closed:
            return self._refuse(self._closed[device], f"of {device}")
        answer = self._api.picture(_key(view), self._reason)
        if answer.status_code == 200:
            return self._keep(view, answer)
        if answer.status_code == 429:
            self._ready[device] = self._clock.monotonic() + BUSY_S
            return False
        why = {403: KEPT, 404: GONE, 410: GONE, 502: BAD}.get(answer.status_code, SILENT)
        if why in {KEPT, SILENT}:
            self._closed[device] = why
        return self._refuse(why, _words(answer))

    def _keep(self, view: View, answer: httpx.Response) -> bool:
        media = answer.headers.get("content-type", "")
        what = answer.headers.get("x-picture-what", "")
        if media not in SUFFIXES or what not in {"full", "region"}:
            return self._refuse(
                BAD, f"{view['device']}: {what or 'nothing'} as {media or 'nothing'}"
            )
        place = self._folder.place(*_key(view), media, what)
        sha256 = self._folder.save(place, answer.content)
        facts = facts_of(view) | {
            "image": place,
            "what": what,
            "sha256": sha256,
            "frame": _numbers(answer.headers.get("x-picture-frame", "")),
            "window": _numbers(answer.headers.get("x-picture-window", "")),
        }
        try:
            self._folder.add(msgspec.convert(facts, CollectedPicture))
        except msgspec.ValidationError as error:
            raise DataError(
                f"the cloud says of {'/'.join(map(str, _key(view)))} what is not understood "
                f"({error})",
                fix="use the same version of splitsight as the cloud",
            ) from error
        return True

    def _refuse(self, why: str, words: str) -> bool:
        self._refused[why] += 1
        self._told.setdefault(why, words)
        return True

    def _relabel(self) -> None:
        """What inspectors say now of all that is there, whenever it came."""
        pictures = list(self._folder.pictures.values())
        since = min((one.received_at for one in pictures), default=None)
        if since is None:
            return
        asked = {"reviewed": True, "since": since}
        labelled = {_key(view): view for view in self._api.parts(asked, None)}
        for one in pictures:
            view = labelled.get(one.key)
            if view is None and one.defect:
                # Its label was taken back, or the cloud does not keep it so long.
                view = self._api.part(one.key)
            if view is None:
                continue
            label = label_of(view)
            before = {name: getattr(one, name) for name in label}
            if label != before:
                self._folder.change(self._labelled(one, label))

    def _labelled(self, one: CollectedPicture, label: dict[str, str]) -> CollectedPicture:
        entries = self._api.labels(one.key)
        said = msgspec.convert(entries, tuple[SaidLabel, ...])
        drawn = next((e["number"] for e in entries if e["stands"] and e["drawn"]), None)
        mask = ""
        if drawn is not None and one.what == "full":
            drawing = self._api.drawing(one.key, drawn)
            picture = self._folder.path(one)
            mask = f"masks/{one.device}/{picture.stem}.png"
            self._folder.save(mask, mask_over(picture, drawing))
        return msgspec.structs.replace(one, **label, labels=said, mask=mask)


def _key(view: View) -> InspectionKey:
    return InspectionKey(view["device"], view["boot"], view["sequence"])


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def _words(answer: httpx.Response) -> str:
    try:
        told: Any = answer.json()
        return f"{told['error']}; {told['fix']}"
    except (ValueError, KeyError, TypeError):
        return f"the cloud answered {answer.status_code}"
