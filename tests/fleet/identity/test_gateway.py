"""The gateway over real HTTPS, with the device's own client and with others."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from fleet.configuration.settings import GatewaySettings
from fleet.identity.admission import REFUSALS, WINDOW_S, RefusalLimiter
from fleet.identity.est import MAX_BODY
from shared.clock import ManualClock, SystemClock
from shared.errors import ClaimRefused, IdentityError, ProcessError, TransportError
from tests.fleet.identity.rigs import (
    BOX,
    Box,
    Office,
    begin_later,
    gateway_of,
    open_gateway,
    open_office,
    request_of,
)

EST = "/.well-known/est"


@contextmanager
def https(office: Office, shown: Path | None = None) -> Iterator[urllib3.PoolManager]:
    context = ssl.create_default_context(cafile=str(office.ca))
    if shown is not None:
        context.load_cert_chain(shown)
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=10.0) as pool:
        yield pool


def post(
    office: Office, url: str, body: bytes, *, token: str | None = None, shown: Path | None = None
) -> tuple[int, dict[str, str]]:
    """The status, and the answer where it is JSON."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with https(office, shown) as pool:
        answer = pool.request("POST", url, body=body, headers=headers)
    is_json = answer.headers.get("content-type") == "application/json"
    return answer.status, json.loads(answer.data) if is_json else {}


def in_base64(raw: bytes) -> bytes:
    return base64.encodebytes(raw)


@pytest.fixture
def token(real_office: Office) -> str:
    return real_office.registrar.claim(BOX, 1.0).token


def test_a_box_enrols_renews_and_keeps_its_key_to_itself(
    real_office: Office, gateway: str, token: str, tmp_path: Path
) -> None:
    box = Box(tmp_path / "box", real_office, gateway, claim=token)
    first = box.enrol()
    assert first.device == BOX.device
    assert box.keeper.keep() is None
    second = box.renew()
    assert second.serial != first.serial
    assert second.certificate.public_key() != first.certificate.public_key()
    box.client.check(second)
    for file in (tmp_path / "box").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_the_authority_is_told_as_est_wants(real_office: Office, gateway: str) -> None:
    with https(real_office) as pool:
        answer = pool.request("GET", f"{gateway}{EST}/cacerts")
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["content-transfer-encoding"] == "base64"
    (found,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.data))
    assert found == x509.load_pem_x509_certificate(real_office.ca.read_bytes())


def test_a_claim_is_taken_as_bearer_and_as_basic(
    real_office: Office, gateway: str, token: str
) -> None:
    body = in_base64(request_of(BOX.device))
    status, _ = post(real_office, f"{gateway}{EST}/simpleenroll", body, token=token)
    assert status == 200
    with https(real_office) as pool:
        headers = urllib3.make_headers(basic_auth=f"anyone:{token}")
        answer = pool.request("POST", f"{gateway}{EST}/simpleenroll", body=body, headers=headers)
    assert answer.status == 200


RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (in_base64(request_of("box-2")), (401, "the claim is for box-1, box-2 came")),
        (in_base64(request_of(BOX.device, RSA)), (400, "not an EC key on P-256")),
        (in_base64(request_of("not/a/name")), (400, "common name")),
        (b"A" * (MAX_BODY + 1), (413, "larger than")),
        (b"A" * 8000, (400, "at most 4096 are read")),
        (b"{}", (400, "not base64")),
        (b"", (400, "not a PKCS#10 request")),
    ],
    ids=["name", "rsa", "no-name", "huge", "large", "json", "nothing"],
)
def test_a_bad_request_gets_one_clear_answer(
    real_office: Office, gateway: str, token: str, body: bytes, refusal: tuple[int, str]
) -> None:
    status, said = refusal
    found, told = post(real_office, f"{gateway}{EST}/simpleenroll", body, token=token)
    assert (found, set(told)) == (status, {"error", "fix"})
    assert said in told["error"]
    assert told["fix"]
    assert not real_office.registrar.devices()


@pytest.mark.parametrize("given", ["", "Basic !", "Basic Og==", "Digest x", "Bearer "])
def test_no_token_is_told_apart_from_a_wrong_one(
    real_office: Office, gateway: str, given: str
) -> None:
    with https(real_office) as pool:
        url = f"{gateway}{EST}/simpleenroll"
        headers = {"authorization": given} if given else {}
        answer = pool.request("POST", url, body=in_base64(request_of("a")), headers=headers)
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert json.loads(answer.data)["error"] == "no claim token came"


def test_renewing_without_a_certificate_is_refused(real_office: Office, gateway: str) -> None:
    body = in_base64(request_of(BOX.device))
    status, told = post(real_office, f"{gateway}{EST}/simplereenroll", body)
    assert (status, told["error"]) == (403, "no client certificate came")


def test_a_certificate_of_another_authority_does_not_pass_the_handshake(
    real_office: Office, gateway: str, tmp_path: Path
) -> None:
    with (
        open_office(tmp_path / "other", SystemClock()) as other,
        open_gateway(other) as their_gateway,
    ):
        stranger = Box(
            tmp_path / "box", other, their_gateway, claim=other.registrar.claim(BOX, 1).token
        )
        held = stranger.enrol()
    with pytest.raises(urllib3.exceptions.HTTPError):
        post(
            real_office,
            f"{gateway}{EST}/simplereenroll",
            in_base64(request_of("a")),
            shown=held.path,
        )


def test_an_expired_certificate_is_refused_in_words(tmp_path: Path) -> None:
    past = ManualClock(utc=SystemClock().utc() - 365 * 86400)
    with open_office(tmp_path / "fleet", past) as office:
        token = office.registrar.claim(BOX, 1.0).token
        with open_gateway(office) as gateway:
            box = Box(tmp_path / "box", office, gateway, claim=token, clock=past)
            box.enrol()
            past.advance(365 * 86400)
            # Its own clock says so before it asks; one that asks all the same is told there.
            with pytest.raises(IdentityError, match=r"expired on .* by a clock that says"):
                box.keeper.keep()
            with pytest.raises(IdentityError, match=r"expired 275\.0 days ago; enrol with a new"):
                box.renew()


def test_a_box_whose_clock_is_years_ahead_is_told(tmp_path: Path) -> None:
    """The fleet lives six years before this machine's clock, by which TLS goes."""
    away = ManualClock(utc=SystemClock().utc() - 6 * 365 * 86400)
    with open_office(tmp_path / "fleet", away) as office, open_gateway(office) as gateway:
        box = Box(tmp_path / "box", office, gateway, claim="any")
        with pytest.raises(IdentityError, match=r"this box's clock says .* set the clock"):
            box.enrol()


def test_a_fleet_whose_clock_is_years_ahead_can_be_reached(tmp_path: Path) -> None:
    ahead = ManualClock(utc=SystemClock().utc() + 6 * 365 * 86400)
    with open_office(tmp_path / "fleet", ahead) as office, open_gateway(office) as gateway:
        box = Box(tmp_path / "box", office, gateway, claim=office.registrar.claim(BOX, 1.0).token)
        held = box.enrol()
        assert held.not_before > SystemClock().utc()
        # The fleet's clock is set right; the box gets a certificate that holds now.
        ahead.advance(-6 * 365 * 86400)
        renewed = box.keeper.keep()
        assert renewed is not None
        assert renewed.not_before < SystemClock().utc() < renewed.not_after


def test_a_box_that_wakes_before_anything_began_reaches_its_fleet(tmp_path: Path) -> None:
    """By this machine's clock, by which TLS goes, authority and gateway begin next year."""
    clock = SystemClock()
    with open_office(tmp_path / "fleet", clock) as office:
        begin_later(office.authority, days=365)
        with open_gateway(office) as gateway:
            claim = office.registrar.claim(BOX, 1.0).token
            box = Box(tmp_path / "box", office, gateway, claim=claim)
            held = box.enrol()
            box.client.check(held)
            assert box.client.said_utc == pytest.approx(clock.utc(), abs=60)


def test_a_gateway_of_another_fleet_is_not_believed(
    real_office: Office, gateway: str, tmp_path: Path
) -> None:
    with open_office(tmp_path / "other", SystemClock()) as other:
        box = Box(tmp_path / "box", other, gateway, claim="any")
        with pytest.raises(IdentityError, match="is not the gateway of this fleet"):
            box.enrol()


def test_a_gateway_that_is_not_there_is_tried_again(real_office: Office, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Box(tmp_path / "box", real_office, f"https://127.0.0.1:{port}", claim="any")
    with pytest.raises(TransportError, match="can't be reached"):
        box.enrol()


def test_a_revoked_box_reads_why(
    real_office: Office, gateway: str, token: str, tmp_path: Path
) -> None:
    box = Box(tmp_path / "box", real_office, gateway, claim=token)
    held = box.enrol()
    real_office.registrar.revoke(BOX.device, "the forklift took it")
    with pytest.raises(IdentityError, match="box-1 is revoked: the forklift took it"):
        box.client.check(held)


def test_the_list_of_revoked_certificates_is_served(
    real_office: Office, gateway: str, tmp_path: Path
) -> None:
    box = Box(tmp_path / "box", real_office, gateway, claim="any")
    assert box.client.revoked() == real_office.authority.files.revoked.read_bytes()


def test_a_used_claim_is_refused_to_a_second_box(
    real_office: Office, gateway: str, token: str, tmp_path: Path
) -> None:
    Box(tmp_path / "one", real_office, gateway, claim=token).enrol()
    with pytest.raises(ClaimRefused, match="was used already"):
        Box(tmp_path / "two", real_office, gateway, claim=token).enrol()


def test_who_guesses_tokens_has_to_wait(real_office: Office, gateway: str) -> None:
    url, body = f"{gateway}{EST}/simpleenroll", in_base64(request_of(BOX.device))
    for number in range(REFUSALS):
        assert post(real_office, url, body, token=f"guess-{number}")[0] == 401
    status, told = post(real_office, url, body, token="guess")  # noqa: S106
    assert (status, "wait" in told["fix"]) == (429, True)


def test_a_turnstile_opens_again_and_remembers_few(clock: ManualClock) -> None:
    turnstile = RefusalLimiter(clock)
    for _ in range(REFUSALS):
        assert turnstile.wait_s("one") == 0
        turnstile.refused("one")
    assert turnstile.wait_s("one") == WINDOW_S
    assert turnstile.wait_s("two") == 0
    clock.advance(WINDOW_S)
    assert turnstile.wait_s("one") == 0


def test_releases_are_served_by_ranges_and_nothing_else_is(
    real_office: Office, gateway: str
) -> None:
    targets = real_office.folder / "repository" / "targets"
    targets.mkdir(parents=True)
    (targets / "model.bin").write_bytes(b"0123456789")
    with https(real_office) as pool:
        url = f"{gateway}/releases/targets/model.bin"
        part = pool.request("GET", url, headers={"range": "bytes=2-5"})
        assert (part.status, part.data) == (206, b"2345")
        assert pool.request("GET", f"{url}x").status == 404
        for path in ("/", "/fleet.db", "/releases/targets/%2e%2e/%2e%2e/fleet.db", "/releases/"):
            told = pool.request("GET", f"{gateway}{path}")
            assert told.status == 404
            assert set(json.loads(told.data)) == {"error", "fix"}
        assert pool.request("DELETE", url).status == 405


def test_a_taken_port_is_said_at_once(real_office: Office) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = GatewaySettings(port=taken.getsockname()[1])
        gateway = gateway_of(real_office, settings)
        with pytest.raises(ProcessError, match=r"is taken by another process.*fleet\.gateway"):
            gateway.start()
        gateway.stop()


@pytest.mark.parametrize("said", [b"", b"POST /.well-known/est/simple", b"GET / HTTP/1.1\r\nhost:"])
def test_who_says_nothing_whole_is_hung_up_on(real_office: Office, said: bytes) -> None:
    settings = GatewaySettings(port=0, patience_s=0.2)
    gateway = gateway_of(real_office, settings)
    gateway.start()
    context = ssl.create_default_context(cafile=str(real_office.ca))
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(said)
        assert secured.recv(100) == b""
    gateway.stop()


def test_an_open_gateway_shows_a_renewed_certificate(tmp_path: Path) -> None:
    clock = ManualClock(utc=SystemClock().utc() - 4.9 * 365 * 86400)
    with open_office(tmp_path / "fleet", clock) as office:
        gateway = gateway_of(office)
        gateway.start()
        address = ("127.0.0.1", gateway.port)
        before = ssl.get_server_certificate(address, ca_certs=str(office.ca))
        clock.advance(4.9 * 365 * 86400)
        assert office.authority.renew_server()
        gateway.reload()
        after = ssl.get_server_certificate(address, ca_certs=str(office.ca))
        gateway.stop()
    assert after != before


def test_a_gateway_without_its_certificate_does_not_open(real_office: Office) -> None:
    real_office.authority.files.server_key.unlink()
    gateway = gateway_of(real_office)
    with pytest.raises(IdentityError, match=r"the server's certificate .* can't be used"):
        gateway.start()
