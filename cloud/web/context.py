"""What the app and its pages are lent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloud.accounts.access import Access
from cloud.accounts.first_account import FirstAccount
from cloud.alerts.assembly import AlertOffice
from cloud.configuration.prices import PriceSettings
from cloud.configuration.shifts import ShiftSettings
from cloud.drift.store import DriftStore
from cloud.health.line_watch import LineWatch
from cloud.health.monitor import HealthCheck
from cloud.health.running_promise import Certificates
from cloud.pictures.base import NoPictures, PictureRules, Pictures
from cloud.records.database import Database
from shared.bundles.bundle import Bundle
from shared.clock import Clock, SystemClock
from shared.plugins.services import Service

if TYPE_CHECKING:
    from cloud.accounts.oidc import OidcProvider


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the app reads from.

    token     of the configuration, for callers without an account; None: there is none
    stopping  set when the service ends, so that live pages let go
    services  what is plugged in, with routes and pages of its own
    labelled  called when an inspector has labelled a part
    serves    the bundles that are served now, with what they promise
    access    who may do what; None: of this database and token, for callers on this machine
    first     the link to the first account; None: offered nowhere
    alerts    what is wrong, and who was told; None: of this database
    drift     how lines change; None: of this database
    watch     how every line is; None: of this database, by the usual limits
    kinds     of defect that the bundles tell apart which are served now
    shifts    when the plant's shifts are
    prices    what things cost here
    bundles   those that are served now
    provider  where people can sign in instead; None: nowhere
    pictures, picture_rules   where pictures of parts come from, and who may see how much of them
    """

    database: Database
    health: HealthCheck
    token: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    stopping: threading.Event = field(default_factory=threading.Event)
    services: Sequence[Service] = ()
    labelled: Callable[[], None] = lambda: None
    serves: Certificates = dict
    access: Access | None = None
    first: FirstAccount | None = None
    alerts: AlertOffice | None = None
    drift: DriftStore | None = None
    kinds: Callable[[], Sequence[str]] = list
    shifts: ShiftSettings = field(default_factory=ShiftSettings)
    bundles: Callable[[], Sequence[Bundle]] = tuple
    provider: OidcProvider | None = None
    prices: PriceSettings = field(default_factory=PriceSettings)
    watch: LineWatch | None = None
    pictures: Pictures = field(default_factory=NoPictures)
    picture_rules: PictureRules = field(default_factory=PictureRules)
