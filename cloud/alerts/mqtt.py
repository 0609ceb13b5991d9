"""Whatever else listens at the broker."""

from __future__ import annotations

import json

from cloud.alerts.notice import Notice
from shared.errors import NoticeUndelivered, TransportError
from shared.topics import alert_topic
from shared.transport.base import Transport


class MqttChannel:
    """Publishes JSON, not retained: who was not there reads the page."""

    name = "mqtt"

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def deliver(self, notice: Notice) -> None:
        facts = {**notice.facts, "where": notice.where, "headline": notice.headline}
        topic = alert_topic(notice.facts["site"], notice.facts["line"])
        try:
            self._transport.publish(topic, json.dumps(facts, ensure_ascii=False).encode())
        except TransportError as error:
            raise NoticeUndelivered(error.message, fix=error.fix) from error
