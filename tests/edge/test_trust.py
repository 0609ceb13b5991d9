"""What a device believes: the attacks that TUF is for, over real HTTP."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Targets

from edge.updates.transfer.fetch import Fetcher, GatewayEndpoint, open_pool
from edge.updates.trust.releases import (
    KnownReleases,
    Payload,
    ReleasesUnreachable,
    SignedRelease,
    Trusts,
)
from edge.updates.trust.time_floor import LowestTime, SignedTime, taken_back
from edge.updates.trust.tuf_client import Trust
from fleet.releases.keys import make_key
from fleet.releases.release_builder import ReleaseNote
from shared.clock import ManualClock
from shared.errors import ReleaseError
from shared.releases import ReleaseFacts
from tests.fleet.releases.mirror import Mirror, files_of, mirror_of
from tests.fleet.releases.rigs import DAY, Yard, strange_target

MODEL = "models/tiny/1.0.0.zip"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path)
    yard.release()
    return yard


@pytest.fixture
def mirror(yard: Yard) -> Iterator[Mirror]:
    with mirror_of(yard.folder / "repository") as mirror:
        yield mirror


class Device:
    """A device with a clock of its own, which keeps what it believed."""

    def __init__(self, folder: Path, url: str, yard: Yard, root: bytes | None = None) -> None:
        self.folder = folder / "trust"
        self.clock = ManualClock(utc=yard.clock.utc())
        self._url = url
        self._root = root or yard.root

    def trust(self) -> Trust:
        """As after a start."""
        return Trust(self.folder, GatewayEndpoint(self._url), self._root, self.clock)


@pytest.fixture
def device(tmp_path: Path, yard: Yard, mirror: Mirror) -> Device:
    return Device(tmp_path / "device", mirror.url, yard)


def test_a_release_is_found_with_what_was_signed_of_it(device: Device, yard: Yard) -> None:
    found = device.trust().find(MODEL)
    bundle = yard.bundle()
    assert (found.facts.kind, found.facts.version, found.facts.counter) == ("model", "1.0.0", 1)
    assert (found.facts.pair, found.facts.bundle) == (bundle.manifest.pair, bundle.id)
    assert found.facts.approved_by == "A. Rossi"


def test_its_bytes_are_where_the_url_says_by_ranges(device: Device) -> None:
    trust = device.trust()
    found = trust.find(MODEL)
    half = found.length // 2
    with urllib3.PoolManager() as pool:
        first = pool.request("GET", trust.url(found), headers={"Range": f"bytes=0-{half - 1}"})
        rest = pool.request("GET", trust.url(found), headers={"Range": f"bytes={half}-"})
    assert (first.status, rest.status) == (206, 206)
    assert hashlib.sha256(first.data + rest.data).hexdigest() == found.sha256


def test_a_patch_is_found_from_the_payload_that_a_device_has(device: Device, yard: Yard) -> None:
    trust = device.trust()
    old = trust.find(MODEL)
    yard.release("1.1.0")
    trust.refresh()
    new = trust.find("models/tiny/1.1.0.zip")
    patch = trust.delta(new, old.sha256)
    assert patch is not None
    assert patch.length < new.length
    assert trust.delta(new, "0" * 64) is None


def test_a_fake_tells_what_it_was_given() -> None:
    facts = ReleaseFacts(
        kind="model", name="a", version="1", counter=1, deltas={"b" * 64: "models/a/1.from-b.zst"}
    )
    found = SignedRelease(facts.path, 9, "c" * 64, facts)
    patch = Payload("models/a/1.from-b.zst", 3, "d" * 64)
    known: Trusts = KnownReleases("http://x", {facts.path: found}, {patch.path: patch})
    known.refresh()
    assert known.find(facts.path) == found
    assert known.delta(found, "b" * 64) == patch
    assert known.url(patch) == f"http://x/targets/models/a/{'d' * 64}.1.from-b.zst"
    with pytest.raises(ReleaseError, match="not among the releases"):
        known.find("models/b/1.zip")


# The attacks


def test_older_releases_than_were_seen_are_refused(
    device: Device, yard: Yard, mirror: Mirror, tmp_path: Path
) -> None:
    old = yard.copy(tmp_path / "old")
    yard.release("1.1.0")
    device.trust().refresh()
    mirror.answer = files_of(old)
    with pytest.raises(ReleaseError, match="older releases than this device has seen"):
        device.trust().refresh()


def test_a_mirror_that_stands_still_is_refused_once_its_timestamp_expires(
    device: Device, yard: Yard, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.answer = files_of(yard.copy(tmp_path / "frozen"))
    device.trust().refresh()
    device.clock.advance(DAY - 1)
    device.trust().refresh()
    device.clock.advance(1)
    with pytest.raises(ReleaseError, match="out of date"):
        device.trust().refresh()


def test_metadata_of_two_states_is_refused(device: Device, yard: Yard, mirror: Mirror) -> None:
    yard.release("1.1.0")
    newest = yard.store.versions("models")[-1]
    metadata = yard.store.metadata
    shutil.copy(metadata / f"{newest - 1}.models.json", metadata / f"{newest}.models.json")
    with pytest.raises(ReleaseError, match="mixture of two states"):
        device.trust().find(MODEL)


def test_a_swapped_payload_has_another_sha256_than_was_signed(device: Device, yard: Yard) -> None:
    trust = device.trust()
    found = trust.find(MODEL)
    place = next(yard.store.targets.glob("models/tiny/*.zip"))
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    with urllib3.PoolManager() as pool:
        served = pool.request("GET", trust.url(found)).data
    assert len(served) == found.length
    assert hashlib.sha256(served).hexdigest() != found.sha256
    with pytest.raises(ReleaseError, match="is not what was added"):
        yard.release("1.1.0")


def test_endless_data_is_cut_off(device: Device, yard: Yard, mirror: Mirror) -> None:
    files = files_of(yard.folder / "repository")
    sent = itertools.count()

    def endless() -> Iterator[bytes]:
        while next(sent) < 10_000:
            yield b"x" * 65_536

    mirror.answer = lambda path: endless() if path.endswith("timestamp.json") else files(path)
    with pytest.raises(ReleaseError, match="more than was promised"):
        device.trust().refresh()
    # Of 655 MB that were on offer, what sockets hold was sent.
    assert next(sent) < 1_000


def test_one_of_two_target_keys_is_not_enough(device: Device, yard: Yard, tmp_path: Path) -> None:
    second = make_key(tmp_path / "second.pem")
    top = yard.drafts.holder("targets")
    top.signed.add_key(second.public_key, "models")
    top.signed.get_delegated_role("models").threshold = 2
    yard.drafts.stage("targets", top)
    yard.drafts.renew("models")
    yard.drafts.sign([yard.key("targets"), yard.key("models"), second])
    yard.publisher.publish()
    device.trust().refresh()

    target = strange_target("models/evil/1.0.0.zip")
    yard.forge(
        "models", lambda held: held.targets.update({target.path: target}), [yard.key("models")]
    )
    with pytest.raises(ReleaseError, match="too few of the trusted keys"):
        device.trust().find(target.path)


def test_one_of_two_root_keys_is_not_enough(device: Device, yard: Yard) -> None:
    yard.forge_root([yard.key("root-1")])
    with pytest.raises(ReleaseError, match="too few of the trusted keys"):
        device.trust().refresh()


def test_a_key_for_models_signs_no_firmware(device: Device, yard: Yard) -> None:
    facts = {"kind": "image", "name": "box", "version": "1.0.0", "counter": 1}
    inside = strange_target("models/box/1.0.0.sqfs", facts)
    outside = strange_target("firmware/image/box/1.0.0.sqfs", facts)

    def add(held: Targets) -> None:
        held.targets.update({t.path: t for t in (inside, outside)})

    yard.forge("models", add, [yard.key("models")])
    trust = device.trust()
    with pytest.raises(ReleaseError, match="says that it is firmware/image"):
        trust.find(inside.path)
    with pytest.raises(ReleaseError, match="not among the releases"):
        trust.find(outside.path)


# Time


def test_a_clock_that_was_set_back_revives_nothing_that_had_expired(
    device: Device, yard: Yard, mirror: Mirror, tmp_path: Path
) -> None:
    started = device.clock.utc()
    mirror.answer = files_of(yard.copy(tmp_path / "frozen"))
    device.trust().refresh()
    device.clock.advance(3 * DAY)
    with pytest.raises(ReleaseError, match="out of date"):
        device.trust().refresh()
    device.clock.advance(started - device.clock.utc())
    with pytest.raises(ReleaseError, match="out of date"):
        device.trust().refresh()


def test_a_clock_set_back_while_nothing_was_asked_revives_nothing_that_was_seen_before(
    device: Device, yard: Yard, mirror: Mirror, tmp_path: Path
) -> None:
    old = yard.copy(tmp_path / "old")
    device.trust().refresh()
    yard.age(3)
    device.clock.advance(3 * DAY)
    device.trust().refresh()
    mirror.answer = files_of(old)
    device.clock.advance(-3 * DAY)
    with pytest.raises(ReleaseError):
        device.trust().refresh()


def test_a_device_without_a_clock_goes_on_from_the_time_that_it_knew(
    device: Device, yard: Yard
) -> None:
    device.trust().refresh()
    device.clock.advance(-device.clock.utc())
    yard.age(0.5)
    assert device.trust().find(MODEL).facts.version == "1.0.0"


def test_a_clock_that_once_jumped_ahead_costs_no_more_than_a_timestamps_life(
    device: Device, yard: Yard
) -> None:
    device.trust().refresh()
    device.clock.advance(70 * 365 * DAY)
    with pytest.raises(ReleaseError, match="out of date"):
        device.trust().refresh()
    device.clock.advance(-70 * 365 * DAY)
    yard.age(1)
    device.clock.advance(DAY)
    device.trust().refresh()


def test_a_year_that_device_and_cloud_both_had_wrong_heals(
    device: Device, yard: Yard, mirror: Mirror, tmp_path: Path
) -> None:
    """As if both took the time from one server that was ahead."""
    device.trust().refresh()
    for clock in (device.clock, yard.clock):
        clock.advance(50 * DAY)
    yard.publisher.refresh()
    device.trust().refresh()
    assert LowestTime(device.folder).utc == device.clock.utc()
    for clock in (device.clock, yard.clock):
        clock.advance(-50 * DAY)
    old = yard.copy(tmp_path / "signed by the clock that was ahead")
    # Where nothing is signed anew, nothing is taken back.
    floor = LowestTime(device.folder).utc
    assert floor > device.clock.utc()
    assert yard.publisher.refresh() == ["snapshot", "timestamp"]
    device.trust().refresh()
    assert LowestTime(device.folder).utc <= device.clock.utc()
    assert device.trust().find(MODEL).facts.version == "1.0.0"
    # And what was served before is older now.
    mirror.answer = files_of(old)
    with pytest.raises(ReleaseError, match="older releases"):
        device.trust().refresh()


@given(
    st.lists(st.tuples(st.floats(0, 3 * DAY), st.booleans()), min_size=2, max_size=30),
    st.data(),
)
def test_nothing_is_taken_back_of_a_repository_whose_clock_is_right(
    steps: list[tuple[float, bool]], data: st.DataObject
) -> None:
    """Whatever of what it has signed somebody without keys shows, in whatever order."""
    now, signed = 1_800_000_000.0, []
    for version, (pause, short) in enumerate(steps, 1):
        now += pause
        signed.append(SignedTime(version, now + (DAY / 2 if short else DAY)))
    kept, found = data.draw(st.sampled_from(signed)), data.draw(st.sampled_from(signed))
    assert taken_back(kept, found) is None


def test_what_is_taken_back_is_never_later_than_the_truth() -> None:
    kept = SignedTime(7, 2_200_000_000.0)
    truth = 1_800_000_000.0
    certain = taken_back(kept, SignedTime(8, truth + DAY))
    assert certain is not None
    assert truth - 7 * DAY <= certain <= truth
    assert taken_back(kept, SignedTime(7, truth + DAY)) is None
    assert taken_back(kept, SignedTime(6, truth + DAY)) is None
    assert taken_back(None, SignedTime(8, truth)) is None


def test_a_device_that_was_off_for_a_year_comes_back(device: Device, yard: Yard) -> None:
    device.trust().refresh()
    for _ in range(3):
        yard.clock.advance(80 * DAY)
        for role in ("targets", "models", "firmware"):
            yard.drafts.renew(role)
        yard.publish("targets", "models", "firmware")
        # The second of the three roots below is expired long before anybody asks for it.
        yard.drafts.renew("root")
        yard.publish("root-1", "root-3")
    yard.clock.advance(80 * DAY)
    for role in ("root", "targets", "models", "firmware"):
        yard.drafts.renew(role)
    yard.publish("root-2", "root-3", "targets", "models", "firmware")
    yard.clock.advance(80 * DAY)
    yard.release("2.0.0")
    device.clock.advance(yard.clock.utc() - device.clock.utc())
    assert device.clock.utc() > 1_800_000_000 + 365 * DAY
    assert device.trust().find("models/tiny/2.0.0.zip").facts.counter == 2


def test_an_expired_root_is_refused(device: Device, yard: Yard) -> None:
    yard.clock.advance(366 * DAY)
    yard.publisher.refresh()
    device.clock.advance(366 * DAY)
    with pytest.raises(ReleaseError, match=r"out of date.*root"):
        device.trust().refresh()


def test_the_lowest_time_survives_and_never_goes_down(tmp_path: Path) -> None:
    LowestTime(tmp_path).raise_to(1000.7)
    LowestTime(tmp_path).raise_to(500.0)
    assert LowestTime(tmp_path).utc == 1000.0


# Keys change


def test_two_of_three_root_keys_replace_the_third(
    device: Device, yard: Yard, tmp_path: Path
) -> None:
    device.trust().refresh()
    lost = yard.key("root-2").public_key.keyid
    new = make_key(tmp_path / "root-4.pem")
    yard.drafts.rotate("root", lost, new)
    yard.publish("root-1", "root-3")
    assert device.trust().find(MODEL)
    yard.drafts.renew("root")
    yard.drafts.sign([yard.key("root-1"), new])
    yard.publisher.publish()
    assert device.trust().find(MODEL)
    # The lost key counts no more.
    yard.forge_root([yard.key("root-1"), yard.key("root-2")])
    with pytest.raises(ReleaseError, match="too few of the trusted keys"):
        device.trust().refresh()


def test_a_new_key_for_models_is_believed_and_the_old_one_no_more(
    device: Device, yard: Yard, tmp_path: Path
) -> None:
    new = make_key(tmp_path / "models-2.pem")
    yard.drafts.rotate("models", yard.key("models").public_key.keyid, new)
    yard.drafts.sign([yard.key("targets"), new])
    yard.publisher.publish()
    assert device.trust().find(MODEL)
    yard.forge("models", lambda held: held.targets.clear(), [yard.key("models")])
    with pytest.raises(ReleaseError, match="too few of the trusted keys"):
        device.trust().find(MODEL)


# What a device must not take


def test_a_release_for_other_hardware_is_refused(device: Device, yard: Yard) -> None:
    yard.release("1.1.0", ReleaseNote(("arm64",)))
    facts = device.trust().find("models/tiny/1.1.0.zip").facts
    facts.require("arm64", 0)
    with pytest.raises(ReleaseError, match=r"is for arm64; this device is x86-64"):
        facts.require("x86-64", 0)


def test_a_lower_counter_than_what_runs_is_refused(device: Device, yard: Yard) -> None:
    yard.release("1.1.0")
    trust = device.trust()
    running = trust.find("models/tiny/1.1.0.zip").facts.counter
    with pytest.raises(ReleaseError, match="counter 1, older than 2"):
        trust.find(MODEL).facts.require("x86-64", running)


@pytest.mark.parametrize("custom", [None, {"delta": {}}, {"kind": "model"}, ["model"], "model"])
def test_a_target_that_is_no_release_is_refused(device: Device, yard: Yard, custom: object) -> None:
    target = strange_target("models/tiny/9.0.0.zip", custom)
    yard.forge(
        "models", lambda held: held.targets.update({target.path: target}), [yard.key("models")]
    )
    with pytest.raises(ReleaseError, match="does not say what it is"):
        device.trust().find(target.path)


def test_facts_of_a_later_version_are_read_as_far_as_they_are_known(
    device: Device, yard: Yard
) -> None:
    def add(held: Targets) -> None:
        held.targets[MODEL].custom["quantum"] = {"yes": True}

    yard.forge("models", add, [yard.key("models")])
    assert device.trust().find(MODEL).facts.counter == 1


# The way there


def test_a_gateway_that_does_not_answer_is_asked_again_later(
    device: Device, mirror: Mirror
) -> None:
    trust = device.trust()
    mirror.close()
    with pytest.raises(ReleasesUnreachable, match="can't be read"):
        trust.refresh()


def test_a_gateway_that_serves_no_repository_is_named(device: Device, mirror: Mirror) -> None:
    mirror.answer = lambda _path: None
    with pytest.raises(ReleaseError, match="lacks what it promises"):
        device.trust().refresh()


def test_a_root_that_is_none_is_refused(tmp_path: Path, yard: Yard, mirror: Mirror) -> None:
    with pytest.raises(ReleaseError, match="can't be believed"):
        Device(tmp_path / "device", mirror.url, yard, b"{}").trust()


def test_a_server_that_drips_runs_into_the_limit_of_one_file(
    tmp_path: Path, yard: Yard, mirror: Mirror, device: Device
) -> None:
    mirror.answer = lambda _path: iter([b"x"] * 50)
    ticks = itertools.count(step=61)
    fetcher = Fetcher(open_pool(GatewayEndpoint(mirror.url)), monotonic=lambda: float(next(ticks)))
    trust = Trust(device.folder, GatewayEndpoint(mirror.url), yard.root, device.clock, fetcher)
    with pytest.raises(ReleasesUnreachable, match="took more than 60 s"):
        trust.refresh()


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json", "time.0"])
def test_a_file_torn_by_a_power_cut_is_fetched_again(device: Device, yard: Yard, name: str) -> None:
    device.trust().find(MODEL)
    torn = device.folder / name
    torn.write_bytes(torn.read_bytes()[:40])
    assert device.trust().find(MODEL).facts.version == "1.0.0"


def test_what_is_believed_needs_no_second_fetch(device: Device, mirror: Mirror) -> None:
    device.trust().find(MODEL)
    mirror.asked.clear()
    device.trust().find(MODEL)
    assert mirror.asked == ["metadata/2.root.json", "metadata/timestamp.json"]
