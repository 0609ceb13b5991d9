"""Notices to real servers on this machine, and what becomes of them where those don't answer."""

from __future__ import annotations

import email
import hashlib
import hmac
import json
import queue
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from cloud.alerts.conditions import NAMES, AlertCondition
from cloud.alerts.mail import MailChannel
from cloud.alerts.mqtt import MqttChannel
from cloud.alerts.notice import Notice, trial_notice
from cloud.alerts.notice_delivery import MOST_TRIES, NoticeDelivery
from cloud.alerts.notice_outbox import MOST_WAITING, NoticeOutbox
from cloud.alerts.store import AlertStore
from cloud.alerts.webhook import SIGNATURE, WebhookChannel
from cloud.configuration.alert_settings import MailSettings, WebhookSettings
from cloud.configuration.settings import load_cloud_settings
from cloud.records.database import Database
from shared.clock import ManualClock
from shared.errors import NoticeUndelivered, SettingsError
from shared.loopback import free_port
from shared.transport.memory import MemoryBroker
from shared.worker import DeadWorkers
from tests.cloud.accounts.pem import write_pair
from tests.support.commands import splitsight

SECRET = "a secret of more than sixteen"  # noqa: S105
NOTICE = trial_notice("any", 1_800_000_000.0)


@dataclass
class Ear:
    """A program that is told by HTTP; it answers with `answers`, then 204."""

    answers: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def facts(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]


@pytest.fixture
def ear() -> Iterator[Ear]:
    heard = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(heard.answers.pop(0) if heard.answers else 204)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
    yield heard
    server.shutdown()
    thread.join()
    server.server_close()


def webhook(url: str, clock: ManualClock | None = None) -> WebhookChannel:
    settings = WebhookSettings.model_validate({"url": url, "secret": SECRET, "timeout_s": 2})
    return WebhookChannel(settings, clock or ManualClock(), 1, "https://cloud.example.org/")


def test_a_webhook_gets_json_that_it_can_check(ear: Ear) -> None:
    webhook(ear.url).deliver(NOTICE)
    ((headers, body),) = ear.heard
    at, _, signed = headers[SIGNATURE].partition(",v1=")
    wanted = hmac.new(SECRET.encode(), f"{at[2:]}.".encode() + body, hashlib.sha256)
    assert signed == wanted.hexdigest()
    assert at == "t=1800000000"
    (facts,) = ear.facts
    assert facts["event"] == "test"
    assert facts["link"] == "https://cloud.example.org/alerts"
    assert SECRET.encode() not in body


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_answers_otherwise_has_not_got_it(ear: Ear, status: int) -> None:
    ear.answers = [status]
    with pytest.raises(NoticeUndelivered, match=str(status)):
        webhook(ear.url).deliver(NOTICE)
    assert len(ear.heard) == 1


def test_nobody_at_the_address_is_said() -> None:
    with pytest.raises(NoticeUndelivered, match="refused"):
        webhook(f"http://127.0.0.1:{free_port()}/").deliver(NOTICE)


class Post:
    """A mail server that wants STARTTLS and a password."""

    def __init__(self, folder: Path) -> None:
        write_pair(folder, days=9)
        self.ca = folder / "cert.pem"
        self.mails: queue.Queue[Envelope] = queue.Queue()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.port = free_port()
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._known,
        )

    async def handle_DATA(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.mails.put(envelope)
        return "250 taken"

    def _known(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, said: object
    ) -> AuthResult:
        known = LoginPassword(b"splitsight", b"quite secret")
        return AuthResult(success=said == known, handled=False)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    server = Post(tmp_path)
    server.controller.start()
    yield server
    server.controller.stop()


def mail(port: int, **changes: object) -> MailChannel:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "user": "splitsight",
        "password": "quite secret",
        "sender": "splitsight@example.org",
        "to": ["ada@example.org", "bob@example.org"],
        "timeout_s": 5,
        **changes,
    }
    return MailChannel(MailSettings.model_validate(settings), "https://cloud.example.org")


def test_people_get_a_mail_over_tls(post: Post) -> None:
    facts = {**NOTICE.facts, "line": "line-1", "title": "Größe\r\nBcc: eve@example.org"}
    mail(post.port, ca=post.ca).deliver(Notice(7, "mail", facts))
    envelope = post.mails.get(timeout=5)
    assert envelope.rcpt_tos == ["ada@example.org", "bob@example.org"]
    assert isinstance(envelope.content, bytes)
    got = email.message_from_bytes(envelope.content, policy=policy.default)
    assert got["Subject"] == "splitsight: Test: Größe Bcc: eve@example.org, line-1"
    assert got["Bcc"] is None
    assert "this one has" in got.get_content()
    assert "https://cloud.example.org/alerts" in got.get_content()


@pytest.mark.parametrize(
    ("changes", "wrong"), [({}, "certificate"), ({"password": "wrong one"}, "535|Authentication")]
)
def test_a_mail_server_that_is_not_trusted_or_does_not_let_in_is_said(
    post: Post, changes: dict[str, str], wrong: str
) -> None:
    more: dict[str, object] = {"ca": post.ca} if changes else {}
    with pytest.raises(NoticeUndelivered, match=wrong):
        mail(post.port, **more, **changes).deliver(NOTICE)
    assert post.mails.empty()


def test_whoever_listens_at_the_broker_hears_it_below_the_line() -> None:
    broker = MemoryBroker()
    transport = broker.transport()
    channel = MqttChannel(transport)
    with pytest.raises(NoticeUndelivered):
        channel.deliver(NOTICE)
    transport.start()
    channel.deliver(Notice(1, "mqtt", {**NOTICE.facts, "site": "plant", "line": "line-1"}))
    channel.deliver(NOTICE)
    topics = [one.topic for one in broker.published]
    assert topics == ["splitsight/v1/plant/line-1/alert", "splitsight/v1/alert"]
    assert json.loads(broker.published[0].payload)["event"] == "test"
    assert not any(one.retained for one in broker.published)


class Lamp:
    """A channel of which a test says whether it works."""

    name = "lamp"

    def __init__(self) -> None:
        self.works = True
        self.lit: list[Notice] = []

    def deliver(self, notice: Notice) -> None:
        if not self.works:
            raise NoticeUndelivered("it is out")
        self.lit.append(notice)


class Desk:
    """Alerts that are told by the lamp."""

    def __init__(self, database: Database) -> None:
        self.clock, self.lamp, self.leads = ManualClock(), Lamp(), True
        self.store = AlertStore(database, ["lamp"])
        self.outbox = NoticeOutbox(database)
        self.delivery = self.begun()

    def begun(self) -> NoticeDelivery:
        return NoticeDelivery(
            self.lamp, self.outbox, self.clock, DeadWorkers(), leads=lambda: self.leads
        )

    def raise_(self, count: int) -> None:
        wrong = [AlertCondition("reject_rate", "x", "y", line=f"line-{n}") for n in range(count)]
        self.store.advance(wrong, NAMES, self.clock.utc())

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / 5)):
            self.clock.advance(5)
            self.delivery.tick()


def test_a_notice_that_fails_goes_again_ever_more_seldom_and_health_tells(
    every_database: Database,
) -> None:
    desk = Desk(every_database)
    desk.lamp.works = False
    desk.raise_(1)
    desk.pass_time(120)
    (problem,) = desk.delivery.problems
    assert "not been sent by lamp for 2 min (it is out)" in problem
    desk.lamp.works = True
    desk.pass_time(90)
    assert len(desk.lamp.lit) == 1
    assert desk.delivery.problems == []
    desk.pass_time(90)
    assert len(desk.lamp.lit) == 1


def test_after_a_restart_what_was_not_delivered_is(database: Database) -> None:
    desk = Desk(database)
    desk.lamp.works = False
    desk.raise_(3)
    desk.pass_time(10)
    desk.delivery, desk.lamp.works = desk.begun(), True
    desk.pass_time(60)
    assert sorted(one.facts["line"] for one in desk.lamp.lit) == ["line-0", "line-1", "line-2"]


def test_in_the_end_a_notice_is_given_up(database: Database) -> None:
    desk = Desk(database)
    desk.lamp.works = False
    desk.raise_(1)
    for _ in range(MOST_TRIES + 3):
        desk.clock.advance(1800)
        desk.delivery.tick()
    desk.lamp.works = True
    desk.pass_time(60)
    assert desk.lamp.lit == []


def test_no_more_wait_than_anybody_would_read(database: Database) -> None:
    desk = Desk(database)
    desk.lamp.works = False
    desk.raise_(MOST_WAITING + 20)
    desk.delivery.tick()
    desk.clock.advance(3600)
    waiting = desk.outbox.due("lamp", desk.clock.utc(), 9999)
    assert len(waiting) == MOST_WAITING
    assert waiting[-1].facts["line"] == f"line-{MOST_WAITING + 19}"


def test_only_the_worker_that_looks_after_alerts_delivers(database: Database) -> None:
    desk = Desk(database)
    desk.leads = False
    desk.raise_(1)
    desk.pass_time(60)
    assert desk.lamp.lit == []


@pytest.mark.parametrize(
    ("alerts", "wrong"),
    [
        ("webhooks: [{url: 'http://example.org/x', secret: 0123456789abcdef}]", "read along"),
        ("webhooks: [{url: 'ftp://example.org', secret: 0123456789abcdef}]", "no address"),
        ("webhooks: [{url: 'https://u:p@example.org', secret: 0123456789abcdef}]", "password"),
        ("webhooks: [{url: 'https://example.org', secret: short}]", "16 characters"),
        ("mail: {host: mx.example.org, starttls: false, sender: a@b, to: [c@d]}", "read along"),
        ("mail: {host: mx, user: u, sender: a@b, to: [c@d]}", "belong together"),
        ("mail: {host: mx, sender: a@b, to: [nobody]}", "no mail address"),
    ],
)
def test_what_would_tell_secrets_or_nobody_is_refused(
    tmp_path: Path, alerts: str, wrong: str
) -> None:
    config = tmp_path / "cloud.yaml"
    config.write_text(f"bundles: [x]\nalerts: {{{alerts}}}\n")
    with pytest.raises(SettingsError, match=wrong):
        load_cloud_settings(config)


@pytest.mark.process
def test_a_test_notice_goes_by_every_channel_and_says_which_failed(
    tmp_path: Path, ear: Ear
) -> None:
    config = tmp_path / "cloud.yaml"
    nobody = f"http://127.0.0.1:{free_port()}/"
    config.write_text(
        "bundles: [x]\nalerts:\n  webhooks:\n"
        f"    - {{url: '{ear.url}', secret: {SECRET!r}}}\n"
        f"    - {{url: '{nobody}', secret: {SECRET!r}}}\n"
    )
    result = splitsight("cloud", "alert", "test", "--config", config)
    assert "webhook 1 (127.0.0.1): delivered" in result.stdout
    assert "webhook 2 (127.0.0.1): not delivered (ConnectionRefusedError" in result.stdout
    assert result.code == 61
    assert len(ear.heard) == 1
