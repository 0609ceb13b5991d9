"""Pictures off the line, from boxes that answer through a real broker and cloud."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from cloud.app import create_app
from cloud.datasets.readers import read
from cloud.pictures.base import BoxBusy, PictureRules, ScriptedPictures, ShownPicture
from cloud.pictures.fetch import BoxPictures, FetchLimits
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from fleet.client.part_api import PartApi
from fleet.collection.collector import Collector
from fleet.collection.folder import CollectionFolder
from fleet.collection.report import CollectionReport
from fleet.collection.selection import Keep, PartSelection, seconds_of
from shared.clock import ManualClock
from shared.contracts import InspectionKey
from shared.errors import AccessRefused, DataError, SettingsError, TransportError
from shared.transport.memory import MemoryBroker
from shared.web.access import Caller as Person
from shared.wire import PictureRefusal, PictureRequest
from tests.cloud.makers import NOON, device, inspection
from tests.cloud.pictures.box import Answer, ScriptedBox, digest, piece, png
from tests.cloud.web.caller import Caller, access_to
from tests.cloud.web.test_api import BASE, healthy

ROOT = Person("root", "admin", means="command")
QUICK = FetchLimits(piece_s=0.05, tries=1, whole_s=0.2)
PARTS = 6
SIDE = 60
Answers = Callable[[PictureRequest], Sequence[Answer]]


def shown(sequence: int) -> bytes:
    return png(SIDE, seed=sequence)


def as_shown(key: InspectionKey) -> ShownPicture:
    return ShownPicture(key, "full", shown(key.sequence), "image/png", "a" * 64)


def whole(asked: PictureRequest) -> list[Answer]:
    return [piece(asked, shown(asked.sequence), most=100_000)]


def refusing(why: str) -> Answers:
    def answers(asked: PictureRequest) -> list[Answer]:
        told = (asked.request, asked.boot, asked.sequence, asked.what)
        return [(PictureRefusal(*told, why=why, detail="said the box"), b"")]

    return answers


class Site:
    """A cloud with PARTS uncertain parts of box-1, which answers as `answers` says."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.clock = ManualClock(utc=NOON + 60)
        self.broker = MemoryBroker()
        self.answers: Answers = whole
        self.box = ScriptedBox(self.broker, self.answered)
        self.rules = PictureRules()
        self.records = RecordStore(database)
        self.has(*(self.part(number) for number in range(1, PARTS + 1)))
        self.token: str | None = None
        self.pictures = ScriptedPictures({})

    def answered(self, asked: PictureRequest) -> Sequence[Answer]:
        return self.answers(asked)

    def has(self, *parts: Any, **box: Any) -> None:
        self.records.save(list(parts), [], [device(**box)])

    @staticmethod
    def part(number: int, **changes: Any) -> Mapping[str, Any]:
        unsure = {"decision": "escalate", "verdict": "review", "decided_by": "cloud", "lot": "L7"}
        return inspection(number, digest=digest(shown(number)), **{**unsure, **changes})

    def caller(self, access: Any = None) -> Caller:
        transport = self.broker.transport()
        boxes = BoxPictures(transport, "cloud-1", QUICK)
        boxes.listen()
        transport.start()
        backstage = Backstage(
            self.database,
            healthy,
            clock=self.clock,
            pictures=self.pictures if self.pictures.answers else boxes,
            picture_rules=self.rules,
            access=access,
        )
        return Caller(create_app(backstage), BASE)

    def api(
        self, access: Any = None, watched: Callable[[httpx.Request], None] | None = None
    ) -> PartApi:
        caller = self.caller(access)

        def answer(request: httpx.Request) -> httpx.Response:
            if watched is not None:
                watched(request)
            headers = dict(request.headers) | {"host": BASE.removeprefix("http://")}
            path = request.url.raw_path.decode()
            said = caller.request(request.method, path, content=request.content, headers=headers)
            return httpx.Response(said.status_code, content=said.content, headers=said.headers)

        return PartApi(BASE, self.token, httpx.MockTransport(answer))

    def collect(
        self,
        keep: Keep = "uncertain",
        most: int | None = None,
        api: PartApi | None = None,
        sleep: Callable[[float], None] | None = None,
        **chosen: Any,
    ) -> CollectionReport:
        with closing(CollectionFolder(self.folder)) as folder, api or self.api() as used:
            wait = sleep or self.clock.advance
            collector = Collector(used, folder, "of a test", clock=self.clock, sleep=wait)
            return collector.collect(PartSelection(keep, NOON - 1, **chosen), most)

    def label(self, number: int, **said: Any) -> None:
        body = {"verdict": "reject", "inspector": "ada", **said}
        path = f"/api/v1/inspections/box-1/b1/{number}/review"
        answer = self.caller().put(path, json=body, headers={"origin": BASE})
        assert answer.status_code == 200, answer.text

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as stream:
            return list(csv.DictReader(stream))

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.png") if "pictures" in path.parts)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    database = Database(f"sqlite:///{tmp_path / 'splitsight.db'}")
    database.migrate()
    yield Site(database, tmp_path / "collected")
    database.close()


def drawing() -> str:
    """The left half of the picture, in a fifth of its size."""
    mask = np.zeros((12, 12), np.uint8)
    mask[:, :6] = 255
    return base64.b64encode(cv2.imencode(".png", mask)[1].tobytes()).decode()


def test_labelled_pictures_are_a_set_that_training_reads_and_the_others_a_list(site: Site) -> None:
    for number in range(1, 4):
        site.label(number, kind="crack" if number < 3 else None)
    site.label(4, verdict="pass")
    report = site.collect()
    assert (report.found, report.fetched, report.labelled, report.unlabelled) == (6, 6, 4, 2)
    dataset = read(str(site.folder))
    assert sorted(one.defect for one in dataset.samples) == ["crack", "crack", "defect", "good"]
    assert {one.domain for one in dataset.samples} == {"plant/line-1"}
    assert {one.part for one in dataset.samples} == {f"plant/box-1/{n}" for n in range(1, 5)}
    assert {(one.lot, one.line) for one in dataset.samples} == {("L7", "line-1")}
    first = site.rows("manifest.csv")[0]
    assert (site.folder / first["image"]).read_bytes() == shown(1)
    told = ("device", "boot", "sequence", "bundle", "lot", "line_verdict", "inspector", "labels")
    assert [first[name] for name in told] == [
        *("box-1", "b1", "1", "tiny 1.0.0", "L7", "review", "ada", "1")
    ]
    assert [row["sequence"] for row in site.rows("unlabelled.csv")] == ["5", "6"]


def test_a_second_run_asks_no_box_again_and_takes_over_what_inspectors_have_said_since(
    site: Site,
) -> None:
    site.collect()
    asked = len(site.box.asked)
    site.label(2, kind="crack", why="deep")
    report = site.collect(keep="rejected")
    assert (report.fetched, report.labelled, report.unlabelled) == (0, 1, 5)
    site.label(3, verdict="pass")
    assert site.collect().there == PARTS
    assert len(site.box.asked) == asked
    assert [row["defect"] for row in site.rows("manifest.csv")] == ["crack", "good"]


def test_labels_that_were_changed_or_taken_back_are_so_in_the_set_too(site: Site) -> None:
    """Also of parts that no longer fit what is asked for."""
    site.label(1, kind="crack")
    site.label(2, kind="crack")
    site.collect()
    site.label(1, kind="dent")
    taken_back = {"numbers": [2], "inspector": "ada"}
    answer = site.caller().post("/api/v1/labels/undo", json=taken_back, headers={"origin": BASE})
    assert answer.status_code == 200, answer.text
    report = site.collect(devices=("box-9",))
    assert (report.found, report.labelled, report.unlabelled) == (0, 1, PARTS - 1)
    (row,) = site.rows("manifest.csv")
    assert (row["defect"], row["labels"]) == ("dent", "2")


def test_what_an_inspector_drew_is_a_mask_of_the_pictures_own_size(site: Site) -> None:
    site.label(1, kind="crack", drawing=drawing())
    site.collect(keep="labelled")
    (row,) = site.rows("manifest.csv")
    mask = cv2.imread(str(site.folder / row["mask"]), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    assert mask.shape == (SIDE, SIDE)
    assert (mask[:, : SIDE // 2] == 255).all()
    assert not mask[:, SIDE // 2 :].any()
    (sample,) = read(str(site.folder)).samples
    assert sample.mask is not None


def test_every_look_is_in_the_audit_log_with_its_reason(site: Site) -> None:
    site.collect()
    with site.database.begin() as connection:
        looks = connection.exec_driver_sql("SELECT after FROM audit WHERE what = 'picture seen'")
        told = [row[0] for row in looks]
    assert len(told) == PARTS
    assert all("of a test" in one for one in told)


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"devices": ("box-1",)}, [1, 2, 3, 4, 5, 6]),
        ({"devices": ("box-2", "box-9")}, []),
        ({"line": "line-2"}, []),
        ({"lot": "L8", "keep": "all"}, [7]),
        ({"site": "plant", "most": 2}, [5, 6]),
        ({"devices": ("box-1", "box-9"), "most": 2}, [5, 6]),
        ({"keep": "labelled"}, []),
        ({"keep": "rejected"}, [7]),
        ({"keep": "all"}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep": "all", "bundle": "other 1.0.0"}, []),
    ],
)
def test_only_what_was_chosen_is_asked_for(
    site: Site, chosen: dict[str, Any], found: list[int]
) -> None:
    site.has(
        site.part(7, decision="reject", verdict="reject", decided_by="edge", lot="L8"),
        site.part(8, decision="pass", verdict="pass", decided_by="edge"),
    )
    report = site.collect(**chosen)
    assert report.found == len(found)
    assert sorted({asked.sequence for asked in site.box.asked}) == found


def test_the_clouds_policy_is_kept_to_and_its_box_not_asked(site: Site) -> None:
    site.rules = PictureRules("never")
    report = site.collect()
    assert report.refused == {"kept in the plant": PARTS}
    assert site.box.asked == []
    assert report.later == 0


def test_of_a_site_that_shows_regions_the_regions_come_in_a_list_that_no_training_reads(
    site: Site,
) -> None:
    site.rules = PictureRules("region")

    def region(asked: PictureRequest) -> list[Answer]:
        of = {
            "frame": (SIDE, SIDE),
            "window": (10, 20, 20, 20),
            "kept": digest(shown(asked.sequence)),
        }
        return [piece(asked, png(20), most=100_000, **of)]

    site.answers = region
    report = site.collect()
    assert (report.regions, report.labelled, report.unlabelled) == (PARTS, 0, 0)
    assert site.rows("regions.csv")[0]["window"] == "10 20 20 20"
    assert not (site.folder / "manifest.csv").exists()
    with pytest.raises(DataError):
        read(str(site.folder))


@pytest.mark.parametrize(
    ("why", "told", "asked"),
    [
        ("policy", "kept in the plant", 2),
        ("gone", "gone from its box", PARTS),
    ],
)
def test_what_a_box_refuses_is_counted_by_its_reason(
    site: Site, why: str, told: str, asked: int
) -> None:
    """One that keeps its pictures is asked for one, whole and then a region; not for each."""
    site.answers = refusing(why)
    report = site.collect()
    assert report.refused == {told: PARTS}
    assert report.told[told]
    assert len(site.box.asked) <= asked
    assert not (site.folder / "manifest.csv").exists()


def test_a_box_that_is_away_is_told_and_the_next_run_goes_on_with_what_lacks(site: Site) -> None:
    site.collect(most=2)
    site.has(state="offline")
    report = site.collect()
    assert report.refused == {"its box is away": PARTS - 2}
    assert report.later == PARTS - 2
    site.has(state="online", at=NOON + 90)
    report = site.collect()
    assert (report.fetched, report.there, report.refused) == (PARTS - 2, 2, {})
    assert sorted({asked.sequence for asked in site.box.asked}) == list(range(1, PARTS + 1))


def test_a_box_that_goes_silent_is_not_waited_for_part_by_part(site: Site) -> None:
    site.answers = lambda asked: whole(asked) if asked.sequence == 6 else []
    report = site.collect()
    assert (report.fetched, report.refused) == (1, {"its box does not answer": PARTS - 1})
    assert {asked.sequence for asked in site.box.asked} == {5, 6}


def test_a_part_whose_box_has_kept_no_picture_is_not_asked_for(site: Site) -> None:
    site.has({**site.part(7), "digest": "none"})
    report = site.collect()
    assert (report.fetched, report.refused) == (PARTS, {"never kept": 1})
    assert 7 not in {asked.sequence for asked in site.box.asked}


def test_a_busy_box_is_asked_again_a_little_later_and_others_meanwhile(site: Site) -> None:
    site.has(site.part(9, device="box-2"), device="box-2")
    ours, others = InspectionKey("box-1", "b1", 6), InspectionKey("box-2", "b1", 9)
    busy = BoxBusy("box-1 gives others", fix="again in a second")
    site.pictures = ScriptedPictures({(ours, "full"): busy, (others, "full"): as_shown(others)})
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        site.clock.advance(seconds)
        site.pictures.answers[ours, "full"] = as_shown(ours)

    report = site.collect(most=2, sleep=sleep)
    assert (report.found, report.fetched, report.refused) == (2, 2, {})
    assert [key for key, _ in site.pictures.asked] == [ours, others, ours] or [
        key for key, _ in site.pictures.asked
    ] == [others, ours, ours]
    assert waited == [2.0]


def test_an_answer_that_is_another_picture_is_not_kept(site: Site) -> None:
    site.answers = lambda asked: [piece(asked, png(30, seed=99), most=100_000)]
    report = site.collect()
    assert report.refused == {"not what was asked": PARTS}
    assert site.files() == []


def test_who_may_not_look_is_told_so_with_what_to_do(site: Site) -> None:
    access = access_to(site.database, site.clock)
    access.accounts.add("ada", "inspector", "correct horse battery", ROOT)
    site.token = access.tokens.add("ada", "a test", ["read"], ROOT)
    with pytest.raises(AccessRefused, match="the token of ada is not for label") as refused:
        site.collect(api=site.api(access))
    assert "--scope label" in refused.value.fix
    site.token = access.tokens.add("ada", "a test", ["read", "label"], ROOT)
    assert site.collect(api=site.api(access)).fetched == PARTS
    site.token = "no-token-of-this-cloud"  # noqa: S105 - it opens nothing
    with pytest.raises(TransportError, match="answered 401") as unknown:
        site.collect(api=site.api(access))
    assert "SPLITSIGHT_TOKEN" in unknown.value.fix


def test_a_full_disk_is_named_and_what_came_before_is_whole(site: Site) -> None:
    site.collect(most=2)
    before = site.rows("unlabelled.csv")
    (site.folder / "pictures" / "box-1").rename(site.folder / "elsewhere")
    (site.folder / "pictures" / "box-1").write_text("in the way")
    with pytest.raises(DataError, match="can't be written") as refused:
        site.collect()
    assert "goes on where it stopped" in refused.value.fix
    assert len(before) == 2


def test_a_run_that_is_ended_leaves_whole_pictures_and_lists_of_them(site: Site) -> None:
    """As Ctrl-C does, in the middle of the fourth picture."""
    seen = {"pictures": 0}

    def watched(request: httpx.Request) -> None:
        seen["pictures"] += request.url.path.endswith("/picture")
        if seen["pictures"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.collect(api=site.api(watched=watched))
    assert len(site.files()) == 3
    assert len(site.rows("unlabelled.csv")) == 3
    report = site.collect()
    assert (report.there, report.fetched) == (3, PARTS - 3)


def test_a_line_that_a_kill_has_cut_costs_one_picture_and_a_damaged_one_is_named(
    site: Site,
) -> None:
    site.collect()
    lineage = site.folder / "lineage.jsonl"
    raw = lineage.read_bytes()
    lineage.write_bytes(raw[:-30])
    report = site.collect()
    assert (report.there, report.fetched) == (PARTS - 1, 1)
    lineage.write_bytes(raw.replace(b'"sequence":2,', b'"sequence":"two",', 1))
    with pytest.raises(DataError, match=r"lineage.jsonl:2: is no picture's line"):
        site.collect()


def test_a_folder_of_something_else_is_left_alone(site: Site) -> None:
    site.folder.mkdir()
    (site.folder / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else"):
        site.collect()
    assert [path.name for path in site.folder.iterdir()] == ["mine.txt"]


def test_two_runs_do_not_fill_one_folder(site: Site) -> None:
    with (
        closing(CollectionFolder(site.folder)),
        pytest.raises(DataError, match="another run fills"),
    ):
        site.collect()


def test_names_from_afar_lead_nowhere(tmp_path: Path) -> None:
    with closing(CollectionFolder(tmp_path / "collected")) as folder:
        for strange, boot in (("..", "b1"), ("box/../..", "b1"), ("box-1", "../../b1")):
            with pytest.raises(DataError, match="can't be a file"):
                folder.place(strange, boot, 1, "image/png", "full")


@pytest.mark.parametrize(
    ("period", "seconds"), [("30m", 1800), ("24h", 86400), ("7d", 604800), ("1.5h", 5400)]
)
def test_a_period_is_a_number_and_a_unit(period: str, seconds: float) -> None:
    assert seconds_of(period) == seconds


@pytest.mark.parametrize("period", ["", "24", "h", "0h", "-1h", "24 hours", "1e9d"])
def test_another_period_is_refused_with_an_example(period: str) -> None:
    with pytest.raises(SettingsError, match="--last is") as refused:
        seconds_of(period)
    assert "24h" in refused.value.fix
