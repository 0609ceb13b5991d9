"""A box looks after its certificate, with the fleet's registrar at the other end."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.identity.clock import NO_CHECK_TIME
from edge.identity.folder import NEXT_KEY, Credential, IdentityFolder
from edge.identity.renewal import LOOK_S, REFUSED_S, RETRY_S, Keeper, renewal_due
from edge.identity.settings import DeviceIdentitySettings
from edge.monitoring.health import BoxHealth
from fleet.identity.requests import read_request
from shared.clock import ManualClock
from shared.errors import ClaimRefused, IdentityError, TransportError
from shared.topics import Address
from tests.fleet.identity.rigs import BOX, DAYS, Counter, Office, asked
from tests.support.waiting import wait_until

DAY_S = 86400.0


class Rig:
    """A keeper, and what happens around it."""

    def __init__(self, folder: Path, office: Office, clock: ManualClock) -> None:
        self.office, self.clock = office, clock
        self.claim_file = folder / "claim"
        self.settings = DeviceIdentitySettings.model_validate(
            {
                "folder": folder / "identity",
                "gateway": "https://cloud:8443",
                "ca": office.ca,
                "claim_file": self.claim_file,
            }
        )
        self.files = IdentityFolder(folder / "identity")
        self.counter = Counter(office)
        self.health = BoxHealth()
        self.keeper = self.restarted()

    def restarted(self, device: str = BOX.device) -> Keeper:
        return Keeper(self.settings, device, self.counter, self.clock, self.health)

    def claim(self) -> None:
        self.claim_file.write_text(f"{self.office.registrar.claim(BOX, 24.0).token}\n")

    def held(self) -> Credential:
        found = self.files.credential()
        assert found is not None
        return found


@pytest.fixture
def rig(tmp_path: Path, office: Office, clock: ManualClock) -> Rig:
    return Rig(tmp_path / "box", office, clock)


@pytest.fixture
def enrolled(rig: Rig) -> Rig:
    (rig.claim_file.parent).mkdir()
    rig.claim()
    assert rig.keeper.step() == LOOK_S
    return rig


def test_a_box_without_claim_or_certificate_says_what_to_do(rig: Rig) -> None:
    assert rig.keeper.step() == REFUSED_S
    (problem,) = rig.health.problems
    assert "no certificate and no claim" in problem
    assert "splitsight fleet claim" in problem
    assert rig.keeper.credential() is None


def test_a_claim_that_comes_later_is_found(rig: Rig) -> None:
    rig.keeper.step()
    rig.claim_file.parent.mkdir(exist_ok=True)
    rig.claim()
    rig.keeper.step()
    assert not rig.health.problems
    assert rig.held().device == BOX.device


def test_a_claim_is_used_once(enrolled: Rig) -> None:
    for keeper in (enrolled.keeper, enrolled.restarted()):
        assert keeper.step() == LOOK_S
    assert enrolled.counter.asked == ["enrol"]


def test_a_new_claim_means_a_new_identity(enrolled: Rig) -> None:
    first = enrolled.held()
    enrolled.office.registrar.revoke(BOX.device, "lost for a while")
    token = enrolled.office.registrar.readmit(BOX.device, 1.0).token
    enrolled.claim_file.write_text(token)
    enrolled.keeper.step()
    assert enrolled.held().serial != first.serial
    assert enrolled.office.registrar.devices()[0].standing == "active"


def test_a_refused_claim_is_told(rig: Rig, clock: ManualClock) -> None:
    rig.claim_file.parent.mkdir()
    rig.claim()
    clock.advance(25 * 3600)
    with pytest.raises(ClaimRefused, match="expired"):
        rig.keeper.keep()
    assert rig.keeper.step() == REFUSED_S
    assert "expired" in rig.health.problems[0]


def test_a_certificate_is_renewed_between_50_and_66_percent_of_its_life(
    office: Office,
) -> None:
    shares = []
    for number in range(40):
        certificate = office.authority.issue(asked(f"box-{number}"), DAYS)
        credential = Credential(Path("unused"), certificate)
        life = credential.not_after - credential.not_before
        shares.append((renewal_due(credential) - credential.not_before) / life)
        assert renewal_due(credential) == renewal_due(credential)
    assert all(0.5 <= share <= 0.66 for share in shares)
    assert max(shares) - min(shares) > 0.1


def test_nothing_is_asked_before_it_is_due_and_renewed_then(enrolled: Rig) -> None:
    first = enrolled.held()
    enrolled.clock.advance(0.49 * DAYS * DAY_S)
    enrolled.keeper.step()
    assert enrolled.held().serial == first.serial
    enrolled.clock.advance(0.17 * DAYS * DAY_S)
    changed: list[Credential] = []
    enrolled.keeper._changed = changed.append
    enrolled.keeper.step()
    assert [credential.serial for credential in changed] == [enrolled.held().serial]
    assert enrolled.held().serial != first.serial
    assert enrolled.counter.asked == ["enrol", "renew"]


def test_a_gateway_that_is_away_is_asked_less_and_less_often(enrolled: Rig) -> None:
    enrolled.clock.advance(0.7 * DAYS * DAY_S)
    enrolled.counter.away = True
    pauses = [enrolled.keeper.step() for _ in range(10)]
    assert pauses[0] == RETRY_S[0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_S[1]
    assert "can't be reached" in enrolled.health.problems[0]
    enrolled.counter.away = False
    assert enrolled.keeper.step() == LOOK_S
    assert not enrolled.health.problems


def test_an_answer_that_got_lost_is_asked_for_with_the_same_key(enrolled: Rig) -> None:
    first = enrolled.held()
    # The fleet has answered; the box lost its power before it read that.
    lost = enrolled.counter.renew(first, enrolled.files.request(BOX.device))
    again = enrolled.keeper.renew(enrolled.held())
    assert again.certificate == lost
    assert enrolled.office.registrar.devices()[0].standing == "active"


def test_a_power_cut_after_the_certificate_was_stored_leaves_a_working_pair(enrolled: Rig) -> None:
    first = enrolled.held()
    enrolled.keeper.renew(first)
    # The next key was still there when the power went: it is the present one's.
    raw = enrolled.files.path.read_bytes()
    key = raw[: raw.index(b"-----BEGIN CERTIFICATE")]
    (enrolled.files.path.parent / NEXT_KEY).write_bytes(key)
    renewed = enrolled.keeper.renew(enrolled.held())
    assert renewed.certificate.public_key() != first.certificate.public_key()
    assert enrolled.office.registrar.devices()[0].standing == "active"


def test_a_copy_that_renews_second_is_told_why_it_is_out(enrolled: Rig, tmp_path: Path) -> None:
    copy = Rig(tmp_path / "copy", enrolled.office, enrolled.clock)
    copy.files.path.parent.mkdir(parents=True)
    for file in enrolled.files.path.parent.iterdir():
        (copy.files.path.parent / file.name).write_bytes(file.read_bytes())
    enrolled.clock.advance(0.7 * DAYS * DAY_S)
    enrolled.keeper.step()
    assert not enrolled.health.problems
    copy.keeper.step()
    assert "is held: a key was shown that the device had replaced" in copy.health.problems[0]


def test_a_box_that_is_cut_off_asks_why(enrolled: Rig) -> None:
    enrolled.keeper._connected = lambda: False
    enrolled.keeper.step()
    assert not enrolled.health.problems
    enrolled.office.registrar.revoke(BOX.device, "stolen")
    enrolled.keeper.step()
    assert "box-1 is revoked: stolen" in enrolled.health.problems[0]
    assert enrolled.counter.asked == ["enrol", "check", "check"]


@pytest.mark.parametrize(
    ("shift_days", "said"),
    [
        (-20 * 365, "this box's clock says 2007-"),
        (365, "the certificate expired on"),
    ],
)
def test_a_clock_that_is_off_is_told_with_what_it_says(
    enrolled: Rig, shift_days: int, said: str
) -> None:
    keeper, _ = box_in(enrolled, shift_days)
    with pytest.raises(IdentityError, match=said):
        keeper.keep()
    assert "renew" not in enrolled.counter.asked


def box_in(enrolled: Rig, shift_days: float) -> tuple[Keeper, ManualClock]:
    """The same box with a clock of its own, so many days from the fleet's."""
    clock = ManualClock(utc=enrolled.clock.utc() + shift_days * DAY_S)
    return Keeper(enrolled.settings, BOX.device, enrolled.counter, clock, enrolled.health), clock


def test_a_box_that_wakes_in_1970_says_what_the_fleet_s_clock_says(enrolled: Rig) -> None:
    keeper, clock = box_in(enrolled, 0)
    clock.advance(-clock.utc())
    context = ssl.create_default_context()
    keeper.guard(context)
    assert context.verify_flags & NO_CHECK_TIME
    assert keeper.step() == REFUSED_S
    assert "clock says 1970-01-01 00:00 UTC, the fleet's 2027-01-15" in enrolled.health.problems[0]
    assert keeper.credential() is not None
    assert enrolled.counter.asked == ["enrol", "check"]
    clock.advance(enrolled.clock.utc() - clock.utc())
    assert keeper.step() == LOOK_S
    assert not enrolled.health.problems
    assert not context.verify_flags & NO_CHECK_TIME


def test_a_certificate_that_a_clock_ahead_has_signed_is_replaced(rig: Rig) -> None:
    rig.clock.advance(6 * 365 * DAY_S)
    rig.claim_file.parent.mkdir()
    rig.claim()
    assert rig.keeper.step() == LOOK_S
    rig.clock.advance(-6 * 365 * DAY_S)
    assert rig.keeper.step() == LOOK_S
    assert rig.held().not_before <= rig.clock.utc()
    assert rig.counter.asked == ["enrol", "check", "renew"]
    assert rig.office.registrar.identify(rig.held().certificate).identity.standing == "active"


def test_a_box_whose_clock_is_ahead_does_not_renew_each_minute(enrolled: Rig) -> None:
    keeper, clock = box_in(enrolled, 60)
    assert keeper.step() == LOOK_S
    for _ in range(5):
        clock.advance(LOOK_S)
        assert keeper.step() == REFUSED_S
    assert "just got is due already" in enrolled.health.problems[0]
    assert enrolled.counter.asked.count("renew") == 1
    clock.advance(-60 * DAY_S)
    assert keeper.step() == LOOK_S


def test_a_box_that_was_renamed_says_so(enrolled: Rig) -> None:
    with pytest.raises(IdentityError, match=r"is for box-1, this box is box-2; set device: box-1"):
        enrolled.restarted("box-2").keep()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def mix(path: Path) -> None:
    """Another key before the certificate."""
    other = IdentityFolder(path.parent / "other")
    other.request(BOX.device)
    raw = path.read_bytes()
    certificate = raw[raw.index(b"-----BEGIN CERTIFICATE") :]
    path.write_bytes((path.parent / "other" / NEXT_KEY).read_bytes() + certificate)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [damage, mix, replace_by_folder])
def test_a_file_that_cannot_be_read_is_named(enrolled: Rig, harm: Callable[[Path], None]) -> None:
    harm(enrolled.files.path)
    with pytest.raises(IdentityError, match=r"identity\.pem can't be read"):
        enrolled.keeper.keep()
    assert enrolled.keeper.step() == REFUSED_S


def test_a_folder_that_cannot_be_written_is_named(rig: Rig) -> None:
    rig.claim_file.parent.mkdir()
    rig.claim()
    rig.files.path.parent.write_text("a file where the folder should be")
    with pytest.raises(IdentityError, match=r"box/identity.* can't be"):
        rig.keeper.keep()


def test_a_claim_file_that_cannot_be_read_is_named(rig: Rig) -> None:
    rig.claim_file.mkdir(parents=True)
    with pytest.raises(IdentityError, match=r"identity\.claim_file can't be read"):
        rig.keeper.keep()


def test_a_certificate_for_another_key_is_not_adopted(rig: Rig) -> None:
    stranger = rig.office.authority.issue(asked(), DAYS)
    with pytest.raises(IdentityError, match="for another key"):
        rig.files.adopt(stranger)
    assert rig.files.credential() is None


def test_a_request_is_one_that_the_fleet_takes(rig: Rig) -> None:
    first = read_request(rig.files.request(BOX.device))
    assert first.device == BOX.device
    assert read_request(rig.files.request(BOX.device)).fingerprint == first.fingerprint


def test_transport_errors_pass_through_keep(rig: Rig) -> None:
    rig.claim_file.parent.mkdir()
    rig.claim()
    rig.counter.away = True
    with pytest.raises(TransportError):
        rig.keeper.keep()


def test_a_box_learns_who_is_out_each_hour(enrolled: Rig) -> None:
    enrolled.keeper.step()
    authority = enrolled.office.authority.certificate
    listed = enrolled.files.revoked(authority)
    assert listed is not None
    assert not list(listed)
    enrolled.office.enrolled(Address("plant", "line", "box-9"))
    enrolled.office.registrar.revoke("box-9", "stolen")
    enrolled.clock.advance(3600)
    enrolled.keeper.step()
    listed = enrolled.files.revoked(authority)
    assert listed is not None
    assert len(list(listed)) == 1


def test_a_box_that_booted_in_2040_shows_its_certificate_once_its_clock_is_right(
    enrolled: Rig,
) -> None:
    keeper, clock = box_in(enrolled, 14 * 365)
    assert keeper.credential() is None
    clock.advance(enrolled.clock.utc() - clock.utc())
    shown: list[Credential] = []
    keeper.start(shown.append, lambda: True, shown=False)
    wait_until(lambda: shown, "the certificate is shown")
    keeper.stop()
    keeper.step()
    assert [one.serial for one in shown] == [enrolled.held().serial]
