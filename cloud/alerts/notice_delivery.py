"""The thread of one channel: what is due goes out, and what fails goes again, ever more seldom."""

from __future__ import annotations

from collections.abc import Callable

from cloud.alerts.notice import Channel, Notice
from cloud.alerts.notice_outbox import NoticeOutbox
from shared.clock import Clock
from shared.errors import NoticeUndelivered
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("alerts")

EVERY_S = 1.0
AT_ONCE = 20
FIRST_S, LONGEST_S = 5.0, 1800.0
MOST_TRIES = 12
"""Some four hours in all."""
TIDY_S = 600.0


class NoticeDelivery:
    """Delivers by one channel while this worker is the one that looks after alerts."""

    def __init__(
        self,
        channel: Channel,
        outbox: NoticeOutbox,
        clock: Clock,
        on_death: OnDeath,
        *,
        leads: Callable[[], bool],
    ) -> None:
        """leads: whether this worker is the one"""
        self._channel = channel
        self._outbox = outbox
        self._clock = clock
        self._leads = leads
        self._failing = ""
        self._since = 0.0
        self._tidied = float("-inf")
        self._worker = Worker(
            f"notices {channel.name}", self._carry, on_death=on_death, retry_s=5.0
        )

    @property
    def problems(self) -> list[str]:
        """For the cloud's health: people rely on being told."""
        if not self._failing:
            return []
        minutes = (self._clock.monotonic() - self._since) / 60
        told = (
            f"Alerts have not been sent by {self._channel.name} for {minutes:.0f} min "
            f"({self._failing}): see `alerts` in the configuration, and try "
            "`splitsight cloud alert test`."
        )
        return [told]

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def hurry(self) -> None:
        self._worker.wake()

    def tick(self) -> None:
        """Deliver what is due. Raises RecordsError."""
        if not self._leads():
            return
        name, now = self._channel.name, self._clock.utc()
        if self._clock.monotonic() - self._tidied >= TIDY_S:
            self._tidied = self._clock.monotonic()
            dropped = self._outbox.tidy(name, now)
            if dropped:
                log.error("notices_dropped", channel=name, count=dropped)
        for notice in self._outbox.due(name, now, AT_ONCE):
            if self._worker.stopping.is_set() or not self._deliver(notice):
                # The others would meet the same.
                return

    def _deliver(self, notice: Notice) -> bool:
        try:
            self._channel.deliver(notice)
        except NoticeUndelivered as error:
            self._failed(notice, error)
            return False
        if self._failing:
            log.info("notices_delivered_again", channel=self._channel.name)
        self._failing = ""
        self._outbox.delivered(notice, self._clock.utc())
        return True

    def _failed(self, notice: Notice, error: NoticeUndelivered) -> None:
        now = self._clock.utc()
        if not self._failing:
            self._since = self._clock.monotonic()
            log.error("notice_undelivered", channel=self._channel.name, reason=error.message)
        self._failing = error.message
        if notice.tries + 1 >= MOST_TRIES:
            log.error("notice_given_up", channel=self._channel.name, alert=notice.facts["alert"])
            self._outbox.given_up(notice, error.message, now)
        else:
            wait_s = min(LONGEST_S, FIRST_S * 2.0**notice.tries)
            self._outbox.failed(notice, error.message, now + wait_s)

    def _carry(self) -> float:
        self.tick()
        return EVERY_S
