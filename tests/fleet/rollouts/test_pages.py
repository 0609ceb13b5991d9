"""The fleet's pages: every state of a box and a rollout has one, and nothing is done unasked."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from cloud.web.problems import handle_problems
from fleet.rollouts.pages import fleet_page
from shared.releases import ReleaseFacts
from shared.topics import Address
from shared.web.access import Caller as Identity
from shared.web.access import FixedAccess
from shared.web.audit import RecordingTrail
from tests.cloud.web.caller import Caller, include
from tests.fleet.rollouts.plant import NEW, Device, Plant

ADA = Identity("ada", "engineer")
ORIGIN = {"origin": "http://cloud.example"}


class Site:
    """A plant with its pages, as somebody who has signed in sees them."""

    def __init__(self, plant: Plant, caller: Identity = ADA) -> None:
        self.plant = plant
        self.trail = RecordingTrail()
        app = FastAPI()
        handle_problems(app)

        def published() -> list[ReleaseFacts]:
            return [plant.releases(NEW), plant.releases("models/m/3.zip")]

        include(app, fleet_page(plant.conductor, published), plant.clock)
        app.add_middleware(FixedAccess, caller=caller, trail=self.trail)
        self._caller = Caller(app, "http://cloud.example")

    def get(self, path: str) -> httpx.Response:
        return self._caller.get(f"/fleet{path}")

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._caller.post(f"/fleet{path}", data=fields, headers=ORIGIN)

    def button(self, path: str, label: str) -> bool:
        """Whether the page offers it, as a link or a button."""
        return bool(re.search(rf">\s*{re.escape(label)}…?</(?:a|button)>", self.get(path).text))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path, 6)
    made.start_devices()
    return made


@pytest.fixture
def site(plant: Plant) -> Site:
    return Site(plant)


def hidden(page: httpx.Response) -> dict[str, str]:
    """What a form would send by itself."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: value.replace("&#39;", "'").replace("&#34;", '"') for name, value in found}


def started(site: Site, *, gated: bool = False) -> None:
    approval = "last" if gated else "none"
    form = {"target": NEW, "soak_min": "0", "approval": approval}
    assert site.post("/rollouts/new", **form).status_code == 303


# ---- no page fails


def test_every_box_has_a_page_whatever_it_has_said_and_whatever_is_wanted_of_it(
    site: Site, plant: Plant
) -> None:
    silent = Device(plant.broker, plant.clock, Address("plant", "line-9", "says-state-only"))
    silent.transport.start()
    silent.say_state("online")
    mute = Device(plant.broker, plant.clock, Address("plant", "line-9", "reports-only"))
    mute.transport.start()
    mute.running = {}
    mute.report()
    gone = Device(plant.broker, plant.clock, Address("plant", "line-9", "offline-only"))
    gone.transport.start()
    gone.say_state("offline")
    plant.conductor.tick()
    plant.conductor.configure("box-1", {"deadline_ms": 300, "camera.fps": 2.5}, "ada")
    plant.conductor.configure("box-2", {}, "ada")
    plant.conductor.hold("box-3", "it was stolen", "ada")
    plant.conductor.hold("says-state-only", "not yet", "ada")
    for shadow in plant.conductor.devices():
        at = shadow.address
        place = f"{at.site}/{at.line}/{at.device}"
        for path in (f"/devices/{place}", f"/devices/{place}/part", f"/devices/{place}/settings"):
            assert site.get(path).status_code == 200, path
    assert "nothing was wanted yet" in site.get("/devices/plant/line-1/box-0").text
    assert "deadline_ms" in site.get("/devices/plant/line-1/box-1").text


@pytest.mark.parametrize(
    "path",
    [
        "/devices/a/b/c",
        "/devices/plant/line-1/box-77/settings",
        "/devices/plant/line-1/%00",
        "/devices/plant/line-1/%ff%fe",
        "/devices/plant/line-1/" + "x" * 64,
        "/devices/%2e%2e/line-1/box-1",
        "/rollouts/0",
        "/rollouts/9",
        "/rollouts/9/part",
        "/rollouts/9/abort",
        "/rollouts/99999999999999999999",
        "/rollouts/new?target=models/m/9.zip&nonsense=1",
        "/rollouts/new?target=models/none/1.zip",
        "/rollouts/new?target=models/m/2.zip&soak_min=nan",
        "/rollouts/new?target=models/m/2.zip&at_once=0",
        "/rollouts/new?target=models/m/2.zip&approval=maybe",
        "/rollouts/new?target=models/m/2.zip&canary=nowhere/*",
        "/fleet.txt",
    ],
)
def test_what_is_not_there_is_said_and_is_no_error_of_the_cloud(site: Site, path: str) -> None:
    answer = site.get(path)
    assert 400 <= answer.status_code < 500, path


@pytest.mark.parametrize("by_form", [True, False])
def test_a_rollout_has_a_page_in_every_state(site: Site, plant: Plant, by_form: bool) -> None:
    seen = set()

    def look() -> None:
        seen.add(plant.conductor.find(1).rollout.state)
        for path in ("", "/rollouts/part", "/rollouts/1", "/rollouts/1/part"):
            assert site.get(path).status_code == 200
        for do in ("approve", "resume", "pause", "abort"):
            assert site.get(f"/rollouts/1/{do}").status_code in {200, 404}

    started(site, gated=True)
    look()
    plant.rounds(6)
    look()
    site.post("/rollouts/1", do="pause")
    look()
    site.post("/rollouts/1", do="resume")
    site.post("/rollouts/1", do="approve")
    plant.rounds(4)
    look()
    if by_form:
        question = site.get("/rollouts/1/abort")
        assert site.post("/rollouts/1", **hidden(question)).status_code == 303
    else:
        plant.conductor.abort(1, "ada")
    look()
    plant.rounds(4)
    look()
    assert seen == {"running", "gated", "paused", "done", "returning", "stopped"}


# ---- what can be done appears by itself, and nothing is done that nobody meant


def test_approve_appears_with_what_is_brought_when_a_rollout_begins_to_wait(
    site: Site, plant: Plant
) -> None:
    started(site, gated=True)
    for path in ("/rollouts/part", "/rollouts/1/part"):
        assert not site.button(path, "Approve ring 100 %")
    plant.rounds(6)
    for path in ("/rollouts/part", "/rollouts/1/part"):
        assert site.button(path, "Approve ring 100 %")
    assert "5 boxes are asked to run m 2" in site.get("/rollouts/1/approve").text


def test_no_form_of_the_fleet_has_two_buttons_that_enter_could_press(
    site: Site, plant: Plant
) -> None:
    nameless = Site(plant, Identity("this machine", "admin", means="machine"))
    started(site, gated=True)
    plant.rounds(6)
    pages = ["", "/rollouts/1", "/rollouts/new", "/devices/plant/line-1/box-1/settings"]
    pages += [f"/rollouts/1/{do}" for do in ("approve", "pause", "abort")]
    for one in (site, nameless):
        for path in pages:
            for form in re.findall(r"<form.*?</form>", one.get(path).text, re.DOTALL):
                assert form.count("<button") == 1, path
    # Who is not known gives a name where it is said what follows, and there only.
    assert "<input" not in nameless.get("/rollouts/part").text
    assert "Your name" in nameless.get("/rollouts/1/pause").text


def test_an_abort_is_asked_about_with_what_goes_back_to_what(site: Site, plant: Plant) -> None:
    started(site)
    plant.rounds(6)
    assert plant.conductor.find(1).rollout.state == "done"
    question = site.get("/rollouts/1/abort")
    assert "6 boxes go back to m 1." in question.text
    assert "Take it back: 6 boxes back" in question.text
    unasked = site.post("/rollouts/1", do="abort")
    assert (unasked.status_code, "6 boxes go back to m 1." in unasked.text) == (409, True)
    assert plant.conductor.find(1).rollout.state == "done"
    done = site.post("/rollouts/1", **hidden(question), reason="blurry")
    assert done.status_code == 303
    rollout = plant.conductor.find(1).rollout
    assert (rollout.state, rollout.reason) == ("returning", "aborted by ada: blurry")
    assert [(e.who, e.what, e.after) for e in site.trail.entries[-1:]] == [
        ("ada", "rollout abort", {"reason": "blurry"})
    ]


def test_more_boxes_than_one_was_told_of_do_not_go_back(site: Site, plant: Plant) -> None:
    started(site)
    question = site.get("/rollouts/1/abort")
    assert "1 box goes back to m 1." in question.text
    plant.rounds(6)
    changed = site.post("/rollouts/1", **hidden(question))
    assert changed.status_code == 409
    assert "It has gone on meanwhile" in changed.text
    assert "6 boxes go back to m 1." in changed.text
    assert plant.conductor.find(1).rollout.state == "done"


def test_an_older_rollout_that_a_newer_one_has_followed_offers_nothing(
    site: Site, plant: Plant
) -> None:
    started(site)
    plant.rounds(6)
    again = site.post("/rollouts/new", target="models/m/3.zip", soak_min="0")
    assert again.status_code == 303
    plant.rounds(6)
    assert not site.button("/rollouts/1", "Take it back")
    assert site.button("/rollouts/2", "Take it back")


# ---- a rollout is started by page


def test_a_rollout_is_shown_before_it_begins_and_begins_as_it_was_shown(
    site: Site, plant: Plant
) -> None:
    plant.put_out["box-5"] = "revoked: stolen"
    form = {"target": NEW, "canary": "plant/line-1/box-2", "approval": "last", "soak_min": "0"}
    query = "&".join(f"{name}={value}" for name, value in form.items())
    shown = site.get(f"/rollouts/new?{query}")
    assert shown.status_code == 200
    assert "1 × revoked: stolen" in shown.text
    assert "ring canary begins at once" in shown.text
    assert plant.conductor.rollouts() == []
    assert site.post("/rollouts/new", **hidden(shown)).status_code == 303
    (kept,) = plant.conductor.rollouts()
    first = [member.address.device for member in kept.rollout.of_ring(0)]
    assert (first, kept.started_by) == (["box-2"], "ada")
    assert kept.rollout.plan.rings[-1].approval
    (entry,) = site.trail.entries
    assert (entry.who, entry.what, entry.subject) == ("ada", "rollout start", NEW)


def test_a_rollout_that_can_not_be_is_refused_on_the_page_with_what_was_typed(site: Site) -> None:
    refused = site.post("/rollouts/new", target="models/x/1.zip", soak_min="5")
    assert refused.status_code == 409
    assert "is not a published release" in refused.text
    assert 'value="5"' in refused.text


# ---- settings of a box by page


def test_settings_are_changed_when_what_would_change_was_seen(site: Site, plant: Plant) -> None:
    plant.conductor.configure("box-1", {"deadline_ms": 300, "camera.fps": 2.5}, "bob")
    path = "/devices/plant/line-1/box-1/settings"
    assert "deadline_ms=300" in site.get(path).text
    question = site.post(path, sent="yes", settings="deadline_ms=400\ncontrol=0.01\n")
    assert question.status_code == 200
    rows = re.findall(
        r"<code>(.*?)</code>.*?<td[^>]*>(.*?)</td>.*?<strong>(.*?)</strong>",
        (question.text),
        re.DOTALL,
    )
    assert rows == [
        ("camera.fps", "2.5", "as in its own file"),
        ("control", "as in its own file", "0.01"),
        ("deadline_ms", "300", "400"),
    ]
    assert plant.conductor.shadow("box-1")[0].desired.settings["deadline_ms"] == 300  # type: ignore[union-attr, index]
    assert site.post(path, **hidden(question)).status_code == 303
    shadow, history = plant.conductor.shadow("box-1")
    assert shadow.desired is not None
    assert shadow.desired.settings == {"deadline_ms": 400, "control": 0.01}
    assert (history[0].by, site.trail.entries[-1].what) == ("ada", "device settings")


def test_settings_that_somebody_else_has_changed_meanwhile_are_asked_about_anew(
    site: Site, plant: Plant
) -> None:
    path = "/devices/plant/line-1/box-1/settings"
    question = site.post(path, sent="yes", settings="deadline_ms=400")
    plant.conductor.configure("box-1", {"deadline_ms": 500}, "bob")
    again = site.post(path, **hidden(question))
    assert again.status_code == 200
    assert "Somebody has changed the box meanwhile" in again.text
    assert site.post(path, **hidden(again)).status_code == 303


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("deadline_ms", "sets nothing"),
        ("broker.password=x", "is a secret"),
        ("", "nothing would change"),
        ("note=" + "x" * 5000, "longer than 4096 bytes"),
        ("\n".join(f"a{n}={n}" for n in range(65)), "64 at most"),
    ],
)
def test_settings_that_can_not_be_are_refused_with_what_was_typed(
    site: Site, typed: str, told: str
) -> None:
    answer = site.post("/devices/plant/line-1/box-1/settings", sent="yes", settings=typed)
    assert answer.status_code == 422
    assert told in answer.text


def test_a_viewer_is_offered_nothing_and_may_do_nothing(plant: Plant) -> None:
    started(Site(plant))
    site = Site(plant, Identity("vic", "viewer"))
    for path in ("", "/rollouts/1", "/devices/plant/line-1/box-1"):
        page = site.get(path)
        body = page.text.partition("<main")[2]
        assert (page.status_code, "<form" in body, "button" in body) == (200, False, False)
    for path in ("/rollouts/new", "/rollouts/1/abort", "/devices/plant/line-1/box-1/settings"):
        assert site.get(path).status_code == 403
    assert site.post("/rollouts/1", do="pause").status_code == 403
