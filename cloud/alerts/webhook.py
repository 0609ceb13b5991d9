"""A program that is told by HTTP."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from urllib.parse import urlsplit

from cloud.alerts.notice import Notice
from cloud.configuration.alert_settings import WebhookSettings
from shared.clock import Clock
from shared.errors import NoticeUndelivered

SIGNATURE = "splitsight-signature"
MOST_ANSWER = 64 * 1024


def signature(secret: str, at: int, body: bytes) -> str:
    """What shows that this cloud sent it, just now: of the time and the body under the secret."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


class WebhookChannel:
    """POSTs JSON to one address. It follows no redirect: who is told is in the file alone."""

    def __init__(self, settings: WebhookSettings, clock: Clock, number: int, address: str) -> None:
        """number: among the webhooks; address: of the cloud, for a link"""
        parts = urlsplit(settings.url)
        self.name = f"webhook {number} ({parts.hostname})"
        self._settings = settings
        self._clock = clock
        self._address = address

    def deliver(self, notice: Notice) -> None:
        facts = {**notice.facts, "where": notice.where, "headline": notice.headline}
        if self._address:
            facts["link"] = f"{self._address.rstrip('/')}/alerts"
        body = json.dumps(facts, ensure_ascii=False).encode()
        at = int(self._clock.utc())
        headers = {
            "content-type": "application/json",
            "user-agent": "splitsight",
            "splitsight-notice": str(notice.facts["number"]),
            SIGNATURE: signature(self._settings.secret.get_secret_value(), at, body),
        }
        try:
            status = self._post(body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise NoticeUndelivered(f"{type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            raise NoticeUndelivered(f"it answered {status}", fix="see the other side's log")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        parts = urlsplit(self._settings.url)
        host, timeout_s = parts.hostname or "", self._settings.timeout_s
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self._settings.ca)
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(MOST_ANSWER)
            return answer.status
        finally:
            connection.close()
