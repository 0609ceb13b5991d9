from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.identity.registrar import Registrar
from shared.clock import ManualClock
from shared.errors import ClaimRefused, IdentityError, SettingsError
from shared.revocations import denied_names
from shared.topics import Address
from tests.fleet.identity.rigs import BOX, DAYS, HOUR_S, Office, asked, open_office

ELSEWHERE = Address("other", "line", BOX.device)


def serials(office: Office) -> set[int]:
    return {entry.serial_number for entry in office.crl}


def test_a_claim_buys_one_certificate(office: Office) -> None:
    request, certificate = office.enrolled()
    assert certificate.public_key() == request.key
    (device,) = office.registrar.devices()
    assert (device.device, device.site, device.standing) == ("box-1", "plant", "active")
    assert int(device.serial, 16) == certificate.serial_number
    (claim,) = office.registrar.claims()
    assert claim.used_at is not None


def test_only_the_hash_of_a_token_is_kept(office: Office) -> None:
    token = office.registrar.claim(BOX, 1.0).token
    office.database.close()
    kept = b"".join(path.read_bytes() for path in office.folder.glob("fleet.db*"))
    assert token.encode() not in kept
    assert BOX.device.encode() in kept


def test_an_answer_that_got_lost_is_given_again(office: Office) -> None:
    token, request = office.registrar.claim(BOX, 1.0).token, asked()
    first = office.registrar.enrol(token, request)
    assert office.registrar.enrol(token, request) == first


def test_a_claim_that_was_used_is_refused_to_another_key(office: Office) -> None:
    token = office.registrar.claim(BOX, 1.0).token
    office.registrar.enrol(token, asked())
    with pytest.raises(ClaimRefused, match="was used already, by another key"):
        office.registrar.enrol(token, asked())


def test_an_expired_claim_is_refused(office: Office, clock: ManualClock) -> None:
    token = office.registrar.claim(BOX, 2.0).token
    clock.advance(2.5 * HOUR_S)
    with pytest.raises(ClaimRefused, match=r"expired 0\.5 hours ago"):
        office.registrar.enrol(token, asked())


def test_an_unknown_claim_is_refused(office: Office) -> None:
    with pytest.raises(ClaimRefused, match="unknown"):
        office.registrar.enrol("made-up", asked())


def test_a_claim_is_for_one_name(office: Office) -> None:
    token = office.registrar.claim(BOX, 1.0).token
    with pytest.raises(ClaimRefused, match="the claim is for box-1, box-2 came with it"):
        office.registrar.enrol(token, asked("box-2"))
    office.registrar.enrol(token, asked())


@pytest.mark.parametrize("hours", [0.0, -1.0, 1e9, float("nan")])
def test_a_claim_lasts_for_a_sensible_time(office: Office, hours: float) -> None:
    with pytest.raises(SettingsError, match="hours"):
        office.registrar.claim(BOX, hours)


def test_a_name_that_is_taken_elsewhere_is_refused(office: Office) -> None:
    office.enrolled()
    with pytest.raises(IdentityError, match="a device at plant/line"):
        office.registrar.claim(ELSEWHERE, 1.0)


def test_whoever_claims_anew_makes_the_old_certificate_worthless(office: Office) -> None:
    _, old = office.enrolled()
    _, new = office.enrolled()
    assert serials(office) == {old.serial_number}
    assert office.registrar.identify(new).record.device == BOX.device
    with pytest.raises(IdentityError, match="replaced when it enrolled anew"):
        office.registrar.identify(old)


def test_a_renewal_is_for_who_holds_the_present_key(office: Office) -> None:
    _, old = office.enrolled()
    new = office.registrar.renew(old, asked())
    assert office.registrar.identify(new).identity.serial == f"{new.serial_number:x}"
    assert not serials(office)


def test_a_renewal_whose_answer_got_lost_is_given_again(office: Office) -> None:
    _, old = office.enrolled()
    request = asked()
    assert office.registrar.renew(old, request) == office.registrar.renew(old, request)
    assert office.registrar.devices()[0].standing == "active"


def test_a_renewal_with_a_key_that_was_given_up_shows_a_copy_and_holds_both(
    office: Office,
) -> None:
    _, old = office.enrolled()
    new = office.registrar.renew(old, asked())
    with pytest.raises(IdentityError, match="is held: a key was shown that"):
        office.registrar.renew(old, asked())
    assert serials(office) == {old.serial_number, new.serial_number}
    assert all(entry.extensions for entry in office.crl)
    assert denied_names(office.authority.files.revoked) == (BOX.device,)
    with pytest.raises(IdentityError, match="fleet readmit box-1"):
        office.registrar.renew(new, asked())


def test_a_device_can_renew_its_own_certificate_alone(office: Office) -> None:
    _, certificate = office.enrolled()
    with pytest.raises(IdentityError, match="box-1 asked for a certificate of box-2"):
        office.registrar.renew(certificate, asked("box-2"))


def test_a_device_that_was_off_for_a_year_needs_a_claim(office: Office, clock: ManualClock) -> None:
    _, old = office.enrolled()
    clock.advance(365 * 86400)
    with pytest.raises(IdentityError, match=r"expired 275\.0 days ago; enrol with a new claim"):
        office.registrar.renew(old, asked())
    _, new = office.enrolled()
    assert office.registrar.identify(new).record.device == BOX.device


def test_a_claim_with_the_old_key_still_buys_a_fresh_certificate(
    office: Office, clock: ManualClock
) -> None:
    request, old = office.enrolled()
    clock.advance(365 * 86400)
    token = office.registrar.claim(BOX, 1.0).token
    new = office.registrar.enrol(token, request)
    assert new.not_valid_after_utc > old.not_valid_after_utc


def test_a_certificate_of_nobody_is_refused(office: Office) -> None:
    stranger = office.authority.issue(asked("box-9"), 1)
    with pytest.raises(IdentityError, match="box-9 is not one that a device was given here"):
        office.registrar.identify(stranger)


def test_a_revoked_device_is_out_until_it_is_readmitted(office: Office) -> None:
    _, certificate = office.enrolled()
    office.registrar.revoke(BOX.device, "stolen")
    assert serials(office) == {certificate.serial_number}
    for refused in (
        lambda: office.registrar.identify(certificate),
        lambda: office.registrar.claim(BOX, 1.0),
    ):
        with pytest.raises(IdentityError, match=r"box-1 is revoked: stolen; .*readmit box-1"):
            refused()
    token = office.registrar.readmit(BOX.device, 1.0).token
    assert denied_names(office.authority.files.revoked) == (BOX.device,)
    with pytest.raises(IdentityError, match="readmitted, but has not enrolled"):
        office.registrar.identify(certificate)
    again = office.registrar.enrol(token, asked())
    assert denied_names(office.authority.files.revoked) == ()
    assert office.registrar.identify(again).identity.standing == "active"
    assert serials(office) == {certificate.serial_number}


def test_a_claim_from_before_does_not_outlive_a_revocation(office: Office) -> None:
    office.enrolled()
    token = office.registrar.claim(BOX, 24.0).token
    office.registrar.revoke(BOX.device, "stolen")
    with pytest.raises(IdentityError, match="is revoked: stolen"):
        office.registrar.enrol(token, asked())


def test_who_is_revoked_is_not_held_afterwards(office: Office) -> None:
    office.enrolled()
    office.registrar.revoke(BOX.device, "stolen")
    office.registrar.hold(BOX.device, "in two places")
    assert office.registrar.devices()[0].reason == "stolen"


def test_an_active_device_needs_no_readmission(office: Office) -> None:
    office.enrolled()
    with pytest.raises(IdentityError, match="nothing to readmit"):
        office.registrar.readmit(BOX.device, 1.0)


def test_a_device_that_never_enrolled_is_named(office: Office) -> None:
    for ask in (
        lambda: office.registrar.revoke("box-9", "why"),
        lambda: office.registrar.readmit("box-9", 1.0),
    ):
        with pytest.raises(IdentityError, match="no device 'box-9' has enrolled here"):
            ask()


def test_expired_certificates_leave_the_list(office: Office, clock: ManualClock) -> None:
    office.enrolled()
    office.registrar.revoke(BOX.device, "stolen")
    clock.advance((DAYS + 1) * 86400)
    office.registrar.publish()
    assert not serials(office)


def test_a_list_that_cannot_be_written_changes_nothing(office: Office) -> None:
    _, certificate = office.enrolled()
    revoked = office.authority.files.revoked
    revoked.unlink()
    revoked.mkdir()
    with pytest.raises(IdentityError, match="can't be written"):
        office.registrar.revoke(BOX.device, "stolen")
    assert office.registrar.identify(certificate).identity.standing == "active"


class Lives(RuleBasedStateMachine):
    """Whatever happens to a few devices, who is trusted and who is listed never overlap."""

    names = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self._clock = ManualClock()
        self._folder = tempfile.TemporaryDirectory(prefix="splitsight-lives-")
        self._opened = open_office(Path(self._folder.name), self._clock)
        self._office = self._opened.__enter__()
        self._certificates: list[x509.Certificate] = []

    @property
    def _registrar(self) -> Registrar:
        return self._office.registrar

    @rule(name=names)
    def enrol(self, name: str) -> None:
        try:
            self._certificates.append(self._office.enrolled(Address("s", "l", name))[1])
        except IdentityError:
            standing = {d.device: d.standing for d in self._registrar.devices()}[name]
            assert standing in {"held", "revoked"}

    @rule(index=st.integers(0, 50))
    def renew(self, index: int) -> None:
        if self._certificates:
            shown = self._certificates[index % len(self._certificates)]
            name = shown.subject.rfc4514_string().removeprefix("CN=")
            with contextlib.suppress(IdentityError):
                self._certificates.append(self._registrar.renew(shown, asked(name)))

    @rule(name=names)
    def revoke(self, name: str) -> None:
        if name in {d.device for d in self._registrar.devices()}:
            self._registrar.revoke(name, "because")

    @rule(name=names)
    def readmit(self, name: str) -> None:
        for device in self._registrar.devices():
            if device.device == name and device.standing != "active":
                self._registrar.readmit(name, 1.0)

    @rule(days=st.integers(1, 60))
    def wait(self, days: int) -> None:
        self._clock.advance(days * 86400.0)

    @invariant()
    def trusted_and_listed_never_overlap(self) -> None:
        listed = serials(self._office)
        denied = denied_names(self._office.authority.files.revoked)
        for certificate in self._certificates:
            try:
                found = self._registrar.identify(certificate)
            except IdentityError:
                continue
            assert certificate.serial_number not in listed
            assert found.record.device not in denied

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)
        self._folder.cleanup()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


def test_a_claim_from_a_clock_that_was_ahead_buys_nothing(
    office: Office, clock: ManualClock
) -> None:
    clock.advance(6 * 365 * 86400)
    token = office.registrar.claim(BOX, 24.0).token
    clock.advance(-6 * 365 * 86400)
    with pytest.raises(ClaimRefused, match=r"made on 203\d-.*by a clock that was ahead"):
        office.registrar.enrol(token, asked())


def test_a_claim_survives_a_clock_that_is_set_by_minutes(
    office: Office, clock: ManualClock
) -> None:
    token = office.registrar.claim(BOX, 24.0).token
    clock.advance(-1800)
    office.registrar.enrol(token, asked())
