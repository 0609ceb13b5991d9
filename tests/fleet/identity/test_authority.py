from __future__ import annotations

import ipaddress
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from fleet.identity.authority import Authority
from fleet.identity.certificates import FOUNDED, Revoked, moment
from fleet.identity.requests import MAX_REQUEST, read_request
from shared.clock import ManualClock
from shared.errors import IdentityError
from shared.revocations import denied_names
from tests.fleet.identity.rigs import BOX, asked, begin_later, request_of

REQUEST = request_of(BOX.device)
NAMES = ["cloud.plant.example", "10.0.0.5", "fd00::5"]


@pytest.fixture
def authority(tmp_path: Path, clock: ManualClock) -> Authority:
    return Authority.create(tmp_path / "fleet", NAMES, clock)


def listed(authority: Authority) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(authority.files.revoked.read_bytes())


def test_keys_are_for_this_user_alone(authority: Authority) -> None:
    files = authority.files
    for key in (files.key, files.server_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_the_server_is_known_by_every_name_that_was_given(authority: Authority) -> None:
    raw = authority.files.server_certificate.read_bytes()
    certificate = x509.load_pem_x509_certificate(raw)
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cloud.plant.example"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address(name) for name in NAMES[1:]
    ]


def test_the_server_keeps_its_key_and_names_when_its_certificate_is_renewed(
    authority: Authority, clock: ManualClock
) -> None:
    path = authority.files.server_certificate
    first = x509.load_pem_x509_certificate(path.read_bytes())
    clock.advance((5 * 365 - 61) * 86400)
    assert not authority.renew_server()
    clock.advance(2 * 86400)
    assert authority.renew_server()
    second = x509.load_pem_x509_certificate(path.read_bytes())
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert second.public_key() == first.public_key()
    kind = x509.SubjectAlternativeName
    renewed, before = (c.extensions.get_extension_for_class(kind) for c in (second, first))
    assert renewed == before


def test_a_server_certificate_that_is_damaged_is_named(authority: Authority) -> None:
    authority.files.server_certificate.write_bytes(b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(IdentityError, match=r"server\.pem can't be renewed"):
        authority.renew_server()


def test_an_authority_is_never_overwritten(authority: Authority, clock: ManualClock) -> None:
    before = authority.files.key.read_bytes()
    with pytest.raises(IdentityError, match="is there already"):
        Authority.create(authority.files.folder, NAMES, clock)
    assert authority.files.key.read_bytes() == before


@pytest.mark.parametrize("name", ["https://cloud", "cloud:8443", "", "two words", "ü.example"])
def test_what_is_no_host_is_refused_and_nothing_is_written(
    tmp_path: Path, clock: ManualClock, name: str
) -> None:
    with pytest.raises(IdentityError, match=r"neither a host's name nor an IP address"):
        Authority.create(tmp_path / "fleet", [name], clock)
    assert not (tmp_path / "fleet").exists()


def test_an_authority_opens_with_its_passphrase_only(tmp_path: Path, clock: ManualClock) -> None:
    made = Authority.create(tmp_path, NAMES, clock, b"open sesame")
    assert b"ENCRYPTED" in made.files.key.read_bytes()
    opened = Authority.open(tmp_path, clock, b"open sesame")
    assert opened.certificate == made.certificate
    for wrong in (None, b"open barley"):
        with pytest.raises(IdentityError, match="passphrase_file"):
            Authority.open(tmp_path, clock, wrong)


def test_a_missing_authority_says_how_to_make_one(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(IdentityError, match=r"ca\.pem is missing.*fleet init"):
        Authority.open(tmp_path, clock)


def test_an_unreadable_key_is_named(authority: Authority, clock: ManualClock) -> None:
    authority.files.key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nnonsense\n")
    with pytest.raises(IdentityError, match=r"ca\.key can't be read"):
        Authority.open(authority.files.folder, clock)


def test_a_key_of_another_authority_is_refused(
    authority: Authority, clock: ManualClock, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "other", NAMES, clock)
    authority.files.key.write_bytes(other.files.key.read_bytes())
    with pytest.raises(IdentityError, match="does not belong to"):
        Authority.open(authority.files.folder, clock)


def test_a_device_certificate_is_for_a_client_of_that_name(
    authority: Authority, clock: ManualClock
) -> None:
    request = asked("box-7")
    certificate = authority.issue(request, days=90)
    certificate.verify_directly_issued_by(authority.certificate)
    found = certificate.extensions
    names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    uses = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert certificate.subject.rfc4514_string() == "CN=box-7"
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["urn:splitsight:device:box-7"]
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.public_key() == request.key
    left = certificate.not_valid_after_utc.timestamp() - clock.utc()
    assert left == pytest.approx(90 * 86400, abs=1)


@given(st.lists(st.integers(1, 2**159 - 1), unique=True, max_size=20), st.booleans())
def test_the_list_names_who_is_out(
    tmp_path_factory: pytest.TempPathFactory, serials: list[int], held: bool
) -> None:
    clock = ManualClock()
    authority = Authority.create(tmp_path_factory.mktemp("fleet") / "new", NAMES, clock)
    authority.publish((Revoked(serial, clock.utc(), held) for serial in serials), ["b", "a"])
    found = listed(authority)
    assert {entry.serial_number for entry in found} == set(serials)
    assert all(bool(len(entry.extensions)) is held for entry in found)
    assert found.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]
    assert denied_names(authority.files.revoked) == ("a", "b")


def test_each_list_is_later_than_the_one_before_even_in_the_same_second(
    authority: Authority,
) -> None:
    times, numbers = [], []
    for _ in range(3):
        authority.publish((), ())
        found = listed(authority)
        times.append(found.last_update_utc)
        numbers.append(found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert times == sorted(set(times))
    assert numbers == sorted(set(numbers))


def test_a_list_that_was_destroyed_is_made_anew(authority: Authority) -> None:
    authority.files.revoked.write_bytes(b"\0\1\2")
    authority.publish((), ())
    assert not list(listed(authority))


def test_an_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    with pytest.raises(IdentityError, match="not an EC key on P-256"):
        read_request(request_of("box-1", key))


def test_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(IdentityError, match="not an EC key on P-256"):
        read_request(request_of("box-1", key))


@pytest.mark.parametrize("name", ["#", "a/b", "+", "-x", "a b", "x" * 64])
def test_a_name_that_no_topic_can_carry_is_refused(name: str) -> None:
    with pytest.raises(IdentityError, match="common name"):
        read_request(request_of(name))


def test_an_oversized_request_is_refused_before_it_is_read() -> None:
    with pytest.raises(IdentityError, match="at most 4096 are read"):
        read_request(bytes(MAX_REQUEST + 1))


def test_a_request_that_was_tampered_with_is_refused() -> None:
    raw = request_of(BOX.device)
    with pytest.raises(IdentityError):
        read_request(raw.replace(b"box-1", b"box-2"))


@given(st.binary(max_size=300))
def test_anything_else_is_no_request(raw: bytes) -> None:
    with pytest.raises(IdentityError):
        read_request(raw)


# Clocks


def shown(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.files.server_certificate.read_bytes())


def test_nothing_that_is_signed_begins_now_or_later(
    authority: Authority, clock: ManualClock
) -> None:
    now = moment(clock.utc())
    day = timedelta(days=1)
    assert authority.certificate.not_valid_before_utc == FOUNDED
    assert shown(authority).not_valid_before_utc == FOUNDED
    assert listed(authority).last_update_utc <= now - day
    issued = authority.issue(asked("box-7"), days=90)
    assert issued.not_valid_before_utc <= now - day
    # A short one is renewed after half of its life, which must not be over when it begins.
    brief = authority.issue(asked("box-7"), days=1)
    assert now - timedelta(hours=3) < brief.not_valid_before_utc < now


@pytest.mark.parametrize("years", [6, 60])
def test_a_clock_that_was_ahead_for_one_start_heals_at_the_next(tmp_path: Path, years: int) -> None:
    clock = ManualClock()
    made = Authority.create(tmp_path / "fleet", NAMES, clock)
    clock.advance(years * 365 * 86400)
    made.renew_server()
    made.publish([], [])
    clock.advance(-years * 365 * 86400)
    again = Authority.open(made.files.folder, clock)
    assert not again.is_current()
    again.renew_own()
    again.renew_server()
    again.publish([], [])
    assert again.is_current()
    now = moment(clock.utc())
    assert listed(again).last_update_utc <= now < (listed(again).next_update_utc or now)
    assert shown(again).not_valid_before_utc <= now < shown(again).not_valid_after_utc


def test_what_an_earlier_release_made_in_the_future_is_made_anew(
    authority: Authority, clock: ManualClock
) -> None:
    begin_later(authority, days=6 * 365)
    key = authority.certificate.public_key()
    issued = authority.issue(asked("box-7"), days=90)
    opened = Authority.open(authority.files.folder, clock)
    assert not opened.is_current()
    assert opened.renew_own()
    assert opened.renew_server()
    assert not opened.renew_own()
    assert not opened.renew_server()
    assert opened.is_current()
    assert opened.certificate.public_key() == key
    assert opened.certificate.not_valid_before_utc == FOUNDED
    issued.verify_directly_issued_by(opened.certificate)
    shown(opened).verify_directly_issued_by(opened.certificate)
    assert Authority.open(authority.files.folder, clock).certificate == opened.certificate


@given(st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=8))
def test_whatever_the_clock_said_before_the_list_holds_now(
    tmp_path_factory: pytest.TempPathFactory, times: list[int]
) -> None:
    clock = ManualClock()
    authority = Authority.create(tmp_path_factory.mktemp("fleet") / "new", NAMES, clock)
    for time in times:
        clock.advance(time - clock.utc())
        authority.renew_own()
        authority.renew_server()
        authority.publish([Revoked(7, clock.utc(), held=False)], ["box"])
        found, now = listed(authority), moment(clock.utc())
        assert found.last_update_utc < now < (found.next_update_utc or now)
        if clock.utc() >= FOUNDED.timestamp():
            assert authority.is_current()


def test_a_clock_that_was_never_set_signs_nothing(tmp_path: Path, authority: Authority) -> None:
    unset = ManualClock(utc=0.0)
    with pytest.raises(IdentityError, match="clock says 1970-01-01"):
        Authority.create(tmp_path / "other", NAMES, unset)
    with pytest.raises(IdentityError, match="clock says 1970-01-01"):
        Authority.open(authority.files.folder, unset).issue(asked("box-7"), days=90)


# Requests


def test_a_request_of_another_version_is_no_request() -> None:
    raw = bytearray(request_of(BOX.device))
    place = raw.index(b"\x02\x01\x00")
    raw[place + 2] = 2
    with pytest.raises(IdentityError, match="not a PKCS#10 request"):
        read_request(bytes(raw))


@given(st.data())
def test_a_request_with_some_bytes_changed_is_no_request(data: st.DataObject) -> None:
    raw = bytearray(REQUEST)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if bytes(raw) != REQUEST:
        with pytest.raises(IdentityError):
            read_request(bytes(raw))
