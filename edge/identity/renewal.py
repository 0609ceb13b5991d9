"""Keeps this box's certificate good: enrols, renews, and says what is wrong."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from contextlib import suppress

from edge.identity.clock import check_times, earliest
from edge.identity.est import Certifies
from edge.identity.folder import Credential, IdentityFolder
from edge.identity.settings import DeviceIdentitySettings
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import IdentityError, TransportError
from shared.format import date
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("identity")

RENEW_FROM, RENEW_TO = 0.5, 0.66
LOOK_S = 60.0
RETRY_S = (2.0, 300.0)
REFUSED_S = 60.0
LEARN_S = 3600.0
RENEW_AGAIN_S, RENEW_AGAIN_SHARE = 12 * 3600.0, 0.1
ABOUT = "identity"


def renewal_due(credential: Credential) -> float:
    """When to renew, UTC seconds: at 50 to 66 % of its life, spread over a fleet by the serial."""
    digest = hashlib.sha256(credential.serial.encode()).digest()
    spread = int.from_bytes(digest[:4]) / 2**32
    share = RENEW_FROM + (RENEW_TO - RENEW_FROM) * spread
    return credential.not_before + share * (credential.not_after - credential.not_before)


class Keeper:
    """Looks after one certificate, on a thread of its own once it is started.

    A claim token that has not been used here is used first: it is how a person says that this box
    shall have a new identity.
    """

    def __init__(
        self,
        settings: DeviceIdentitySettings,
        device: str,
        office: Certifies,
        clock: Clock,
        health: BoxHealth,
    ) -> None:
        self._settings = settings
        self._device = device
        self._office = office
        self._clock = clock
        self._health = health
        self._folder = IdentityFolder(settings.folder)
        self._changed: Callable[[Credential], None] = lambda _credential: None
        self._connected: Callable[[], bool] = lambda: True
        self._shown = False
        self._retry_s = RETRY_S[0]
        self._renewed_at: float | None = None
        self._learned_at: float | None = None
        self._context: ssl.SSLContext | None = None
        # A folder that can't be written, say: parts need no new certificate today.
        self._worker = Worker("identity", self.step, on_death=health.worker_died, retry_s=REFUSED_S)

    def credential(self) -> Credential | None:
        """The certificate that can be shown now; None where there is none that is good.

        Raises IdentityError where it is there and can't be read.
        """
        found = self._folder.credential()
        return found if found is not None and self._clock.utc() < found.not_after else None

    def start(
        self,
        changed: Callable[[Credential], None],
        connected: Callable[[], bool],
        *,
        shown: bool = False,
    ) -> None:
        """Call `changed`, from this keeper's thread, with each certificate that it gets.

        connected   whether the broker takes it; where not, the gateway is asked why
        shown       the present one is in use; else it is `changed` to as soon as it is good
        """
        self._changed, self._connected, self._shown = changed, connected, shown
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def guard(self, context: ssl.SSLContext) -> None:
        """From now on its connections look at times only while this box's clock can be right."""
        self._context = context
        self._mind_clock()

    def step(self) -> float:
        """Do what is due; seconds until there may be something again. Never raises."""
        self._mind_clock()
        try:
            gained = self.keep()
        except TransportError as error:
            self._health.problem(ABOUT, str(error))
            pause, self._retry_s = self._retry_s, min(2 * self._retry_s, RETRY_S[1])
            return pause
        except IdentityError as error:
            self._health.problem(ABOUT, str(error))
            return REFUSED_S
        self._retry_s = RETRY_S[0]
        self._health.well(ABOUT)
        # By a clock that was wrong at the start the present one was not good: nothing has it yet.
        new = gained if self._shown or gained is not None else self.credential()
        if new is not None:
            self._shown = True
            self._changed(new)
        return LOOK_S

    def keep(self) -> Credential | None:
        """Enrol or renew where that is due; the new certificate, None where nothing was due.

        Raises IdentityError, ClaimRefused, TransportError.
        """
        present = self._folder.credential()
        token = self._settings.token()
        now = self._clock.utc()
        if token is not None and not self._folder.has_used(token):
            return self._enrol(token)
        if present is None:
            raise IdentityError(
                "this box has no certificate and no claim to get one",
                fix="run `splitsight fleet claim`, and write what it says into identity.claim",
            )
        if present.device != self._device:
            raise IdentityError(
                f"{present.path} is for {present.device}, this box is {self._device}",
                fix=f"set device: {present.device}, or enrol with a claim for {self._device}",
            )
        if now < present.not_before:
            return self._not_begun(present, now)
        if now >= present.not_after:
            raise IdentityError(
                f"the certificate expired on {date(present.not_after)}, by a clock that says "
                f"{date(now)}",
                fix="check the clock; if it is right, run `splitsight fleet claim`, and write "
                "what it says into identity.claim",
            )
        if now >= renewal_due(present):
            return self._renew_once(present, now)
        if not self._connected():
            self._office.check(present)
        self._learn_revoked()
        return None

    def renew(self, present: Credential) -> Credential:
        """A new key and certificate in the place of the present ones, due or not."""
        certificate = self._office.renew(present, self._folder.request(self._device))
        adopted = self._folder.adopt(certificate)
        self._renewed_at = self._clock.monotonic()
        log.info("certificate_renewed", serial=adopted.serial, until=date(adopted.not_after))
        return adopted

    def _renew_once(self, present: Credential, now: float) -> Credential:
        """Not what was renewed a moment ago: by a clock that is ahead it is always due."""
        before = self._renewed_at
        life = present.not_after - present.not_before
        pause = min(RENEW_AGAIN_S, life * RENEW_AGAIN_SHARE)
        if before is not None and self._clock.monotonic() - before < pause:
            raise IdentityError(
                f"this box's clock says {date(now)}, and by it the certificate that it has just "
                "got is due already",
                fix="set the clock and switch on time synchronisation",
            )
        return self.renew(present)

    def _not_begun(self, present: Credential, now: float) -> Credential | None:
        """The clock is behind, or the fleet's was ahead when it signed: its own word decides."""
        with suppress(IdentityError, TransportError):
            self._office.check(present)
        fleet = self._office.said_utc
        if fleet is not None and fleet < present.not_before:
            return self._renew_once(present, now)
        known = f", the fleet's {date(fleet)}" if fleet is not None else ""
        raise IdentityError(
            f"this box's clock says {date(now)}{known}, and its certificate begins on "
            f"{date(present.not_before)}",
            fix="set the clock and switch on time synchronisation; until then connections are "
            "made without a look at when certificates end",
        )

    def _learn_revoked(self) -> None:
        """Who is out, for rounds in which devices look at each other's certificates."""
        now = self._clock.monotonic()
        if self._learned_at is not None and now - self._learned_at < LEARN_S:
            return
        # A gateway of an earlier release serves none.
        with suppress(IdentityError, TransportError):
            self._folder.keep_revoked(self._office.revoked())
        self._learned_at = now

    def _mind_clock(self) -> None:
        if self._context is None:
            return
        try:
            held = self._folder.credential()
        except IdentityError:
            held = None
        known = earliest([held.certificate] if held is not None else [])
        check_times(self._context, checked=self._clock.utc() >= known)

    def _enrol(self, token: str) -> Credential:
        certificate = self._office.enrol(token, self._folder.request(self._device))
        adopted = self._folder.adopt(certificate)
        self._folder.used(token)
        log.info("enrolled", serial=adopted.serial, until=date(adopted.not_after))
        return adopted
