"""HTTPS of the cloud's own: served, watched, and renewed without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from cloud.web.http_server import HttpServer
from cloud.web.http_tls import HttpTls, OpenHttp
from shared.clock import ManualClock
from shared.errors import SettingsError
from shared.worker import DeadWorkers
from tests.cloud.accounts.pem import write_pair
from tests.support.waiting import wait_until

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
Write = Callable[[int], None]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc=BEGIN.timestamp())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts a pair that is good for so many days in place."""

    def put(days: int) -> None:
        write_pair(tmp_path, days=days, begin=BEGIN)

    return put


def opened(folder: Path, clock: ManualClock) -> HttpTls:
    return HttpTls(folder / "cert.pem", folder / "key.pem", clock)


def serial(url: str) -> int:
    """Of the certificate that a new connection gets."""
    port = int(url.rpartition(":")[2])
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


async def answer(_scope: object, _receive: object, send: Callable[..., object]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[misc]
    await send({"type": "http.response.body"})  # type: ignore[misc]


def test_an_end_that_comes_near_is_told_before_it_is_there(
    tmp_path: Path, clock: ManualClock, write: Write
) -> None:
    write(90)
    tls = opened(tmp_path, clock)
    assert tls.problems == []
    clock.advance(80 * 86_400)
    assert "expires at 2027-04-01" in tls.problems[0]
    clock.advance(11 * 86_400)
    assert "has expired" in tls.problems[0]


def test_a_renewed_certificate_is_served_without_a_restart_and_half_of_one_is_not(
    tmp_path: Path, clock: ManualClock, write: Write
) -> None:
    write(10)
    tls = opened(tmp_path, clock)
    server = HttpServer(answer, "127.0.0.1", 0, DeadWorkers(), tls=tls.context)
    server.start()
    try:
        assert server.url.startswith("https://")
        assert serial(server.url) == 10
        good = (tmp_path / "key.pem").read_bytes()
        (tmp_path / "key.pem").write_bytes(good[: len(good) // 2])
        assert any("can't be used" in one for one in tls.problems)
        assert serial(server.url) == 10
        write(90)
        assert tls.problems == []
        assert serial(server.url) == 90
        with httpx.Client(verify=False) as client:  # noqa: S501 - its own authority, here
            assert client.get(server.url).status_code == 204
    finally:
        server.stop()


def test_a_renewed_certificate_is_taken_up_though_nobody_asks_how_the_cloud_is(
    tmp_path: Path, clock: ManualClock, write: Write
) -> None:
    write(10)
    tls, dead = opened(tmp_path, clock), DeadWorkers()
    server = HttpServer(answer, "127.0.0.1", 0, dead, tls=tls.context)
    server.start()
    watching = tls.watch(dead, every_s=0.02)

    def is_new() -> bool:
        try:
            return serial(server.url) == 90
        except OSError:
            # A handshake just then meets half of a pair, and is tried again.
            return False

    try:
        write(90)
        wait_until(is_new, "new connections get the new one")
    finally:
        watching.stop()
        server.stop()


def test_a_key_that_does_not_fit_is_refused_at_the_start(
    tmp_path: Path, clock: ManualClock, write: Write
) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        opened(tmp_path, clock)
    write(90)
    other = (tmp_path / "key.pem").read_bytes()
    write(91)
    (tmp_path / "key.pem").write_bytes(other)
    with pytest.raises(SettingsError, match="can't be used"):
        opened(tmp_path, clock)


def test_who_speaks_plain_http_to_the_plant_is_told() -> None:
    assert "passwords and tokens can be read" in OpenHttp("0.0.0.0").problems[0]  # noqa: S104
