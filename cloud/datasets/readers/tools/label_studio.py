"""Label Studio's JSON: one list of tasks, each a picture with what people said of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.readers.tools.documents import converted, files_of, json_of, keys_of
from cloud.datasets.readers.tools.label_studio_task import StudioResult, StudioTask
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels, nowhere

_SNIFFED = 50
_IGNORED = frozenset({"textarea", "number", "rating", "relation", "datetime", "taxonomy"})


class LabelStudioReader:
    """Boxes, polygons, ellipses, brushes, points, and choices for the whole picture.

    A task that nobody finished was not labelled; one with an empty result is good. Of several
    people's results the one marked as truth counts, else the latest.
    """

    name = "Label Studio"

    def recognises(self, tree: FileTree) -> bool:
        return any(_is_tasks(path) for path in files_of(tree, ".json")[:_SNIFFED])

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        pictures = LabelledPictures(tree, account)
        for path in files_of(tree, ".json"):
            if not _is_tasks(path):
                continue
            account.use(path, "labels")
            try:
                tasks = json_of(path, list[msgspec.Raw])
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
                continue
            for index, raw in enumerate(tasks):
                _task(pictures, LabelPlace(path, entry=f"task {index}"), raw)
        return pictures.entries("whose result is empty")


def _task(pictures: LabelledPictures, place: LabelPlace, raw: msgspec.Raw) -> None:
    try:
        task = converted(raw, StudioTask)
        path = task.picture(pictures.names)
    except LabelFault as fault:
        pictures.flaw(place, str(fault))
        return
    results = [one for one in (*task.annotations, *task.completions) if not one.was_cancelled]
    if not results:
        pictures.leave_out(path, "a task that nobody finished")
        return
    if len(results) > 1:
        pictures.note("tasks with several results: the one marked as truth counts, or the latest")
    chosen = max(results, key=lambda one: (one.ground_truth, one.updated_at))
    picture = pictures.picture(
        place,
        path,
        split=split_of(task.text("split")),
        part=task.text("part"),
        domain=task.text("domain") or task.text("lot"),
    )
    if picture is not None:
        _results(pictures, picture, place, chosen.result)


def _results(
    pictures: LabelledPictures, picture: PictureLabels, place: LabelPlace, raws: list[msgspec.Raw]
) -> None:
    try:
        results = [converted(raw, StudioResult) for raw in raws]
    except LabelFault as fault:
        pictures.spoil(picture, place, str(fault))
        return
    kinds: dict[str, list[str]] = {}
    for one in results:
        kinds.setdefault(one.id, []).extend(one.value.kinds)
    drawn = {one.id for one in results if one.drawn}
    for index, one in enumerate(results):
        here = LabelPlace(place.file, entry=f"{place.entry}, result {index}")
        # A shape and what it is called can be two results of one id.
        names = one.value.kinds or (kinds[one.id] if one.id else [])
        if one.drawn:
            for kind in dict.fromkeys(names) or [""]:
                pictures.mark(picture, here, kind, one.mask)
        elif one.type == "choices" and one.id not in drawn:
            for kind in names:
                pictures.mark(picture, here, kind, nowhere)
        elif one.type in _IGNORED:
            pictures.note(f"results of the type {one.type} say nothing of defects")
        elif one.type not in {"labels", "choices"}:
            pictures.spoil(picture, here, f"results of the type {one.type} are not known")


def _is_tasks(path: Path) -> bool:
    keys = keys_of(path)
    return {"[", "data"} <= keys and bool(keys & {"annotations", "completions"})
