"""The server's side of secure aggregation: carry sealed parcels, add, take the masks off the sum.

One `SecureRound` a round. It knows nothing of messages and deadlines: whoever drives it hands over
what came in time (`fleet.rounds.aggregation.secure_sum` does, over any of Flower's grids).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from shared.errors import FederationError
from shared.federation.fixed_point import FixedPoint, Floats, Words, unpack
from shared.federation.masking import (
    COMMITMENT_BYTES,
    FEWEST,
    DevicePair,
    KeyPair,
    commitment,
    is_key,
    neighbours,
    threshold,
    unmasked,
)
from shared.federation.secure_aggregation import (
    PARCEL_BYTES,
    Advert,
    Deal,
    Invitation,
    Masked,
    Revealed,
    Roster,
    SharesDelivery,
    Survivors,
)
from shared.federation.shamir import join


@dataclass(frozen=True, slots=True)
class SecureMean:
    """All that the server learns.

    mean     the weighted mean of the clipped updates, then of the metrics
    weight   the sum of weights
    devices  whose updates are in it
    """

    mean: Floats
    weight: int
    devices: tuple[int, ...]


@dataclass(slots=True)
class SecureRound:
    """A round of secure aggregation, from the adverts to the mean.

    aside   by device: why it is not in the sum, or why its shares were not used
    """

    invitation: Invitation
    limits: Floats
    name: Callable[[int], str] = str
    aside: dict[int, str] = field(default_factory=dict)
    _adverts: dict[int, Advert] = field(default_factory=dict)
    _around: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _deals: dict[int, Deal] = field(default_factory=dict)
    _total: Words | None = None
    _came: set[int] = field(default_factory=set)

    @property
    def rounding(self) -> float:
        """How far rounding moves one device's weighted update, at most, as an L2 norm."""
        encoding = FixedPoint(self.invitation.devices, self.invitation.cap)
        return float(np.linalg.norm(self.limits)) * 0.5 / encoding.steps

    def roster(self, adverts: Mapping[int, Advert]) -> dict[int, Roster]:
        """What each device is told of the others, once those that trained are known."""
        self._adverts = dict(adverts)
        for one, advert in adverts.items():
            if not _sound(advert):
                self._set_aside(one, "sent keys that are none")
                del self._adverts[one]
        for one in self._unsigned():
            self._set_aside(
                one, "nobody has signed its keys: it has no certificate, or runs an earlier release"
            )
            del self._adverts[one]
        for one in self._shared_keys():
            self._set_aside(one, "sent a key that another device has sent too")
            del self._adverts[one]
        if len(self._adverts) < FEWEST:
            raise FederationError(
                f"{len(self._adverts)} devices are left, {FEWEST} are needed to hide each other"
                f"{self._reasons()}",
                fix="give devices more time, or label parts on more of them",
            )
        self._around = neighbours(self._adverts, self.invitation.session)
        devices = sorted(self._adverts)
        return {
            one: Roster(devices, {other: self._adverts[other] for other in around})
            for one, around in self._around.items()
        }

    def deliveries(self, deals: Mapping[int, Deal]) -> dict[int, SharesDelivery]:
        """Each device's parcels from those neighbours that dealt."""
        for one in sorted(self._adverts):
            if one not in deals:
                self._missing(one, "shares")
            elif not self._whole(one, deals[one]):
                self._set_aside(one, "dealt no shares to its neighbours")
            else:
                self._deals[one] = deals[one]
        return {
            one: SharesDelivery(
                {o: self._deals[o].parcels[one] for o in self._around[one] if o in self._deals}
            )
            for one in self._deals
        }

    def survivors(self, updates: Mapping[int, Masked]) -> dict[int, Survivors]:
        """Add up what came, and say to each device who of its neighbours is in the sum.

        Raises FederationError where a device's masks could not come off any more.
        """
        total = np.zeros(len(self.limits) + 1, np.uint32)
        for one in sorted(self._deals):
            if one not in updates:
                self._missing(one, "masked update")
                continue
            try:
                total += unpack(updates[one].words, len(total))
                self._came.add(one)
            except FederationError as error:
                self._set_aside(one, error.message)
        self._total = total
        for one in sorted(self._deals):
            self._enough(one, len(self._holders(one) & self._came))
        return {
            one: Survivors(sorted(self._holders(one) & self._came)) for one in sorted(self._came)
        }

    def mean(self, revealed: Mapping[int, Revealed]) -> SecureMean:
        """Take the masks off the sum. Raises FederationError where shares are too few."""
        if self._total is None:
            raise FederationError("no masked update has come yet")
        for one in sorted(self._came - set(revealed)):
            self.aside.setdefault(one, "its update is in the sum, but it sent no shares in time")
        seeds = [self._seed(one, revealed) for one in sorted(self._came)]
        broken = []
        for gone in sorted(set(self._deals) - self._came):
            present = [one for one in self._around[gone] if one in self._came]
            key = self._key(gone, revealed)
            broken += [(one, gone, self._pair_seed(gone, one, key)) for one in present]
        words = unmasked(self._total, seeds, broken)
        encoding = FixedPoint(self.invitation.devices, self.invitation.cap)
        mean, weight = encoding.decode(words, self.limits)
        return SecureMean(mean, weight, tuple(sorted(self._came)))

    def _seed(self, owner: int, revealed: Mapping[int, Revealed]) -> bytes:
        given = {holder: shares.seeds.get(owner) for holder, shares in revealed.items()}
        seed = self._join(owner, given, which=0)
        if commitment(seed) != self._adverts[owner].seed_check:
            raise self._false(owner)
        return seed

    def _key(self, owner: int, revealed: Mapping[int, Revealed]) -> bytes:
        given = {holder: shares.keys.get(owner) for holder, shares in revealed.items()}
        key = self._join(owner, given, which=1)
        if KeyPair.of(key).public != self._adverts[owner].mask_key:
            raise self._false(owner)
        return key

    def _join(self, owner: int, given: Mapping[int, bytes | None], *, which: int) -> bytes:
        places = {one: place for place, one in enumerate(sorted(self._adverts), start=1)}
        shares = {}
        for holder in sorted(self._holders(owner) & self._came):
            share = given.get(holder)
            if share is None:
                continue
            if commitment(share) != self._deals[owner].checks[holder][which]:
                self.aside.setdefault(
                    holder,
                    f"its share of {self.name(owner)}'s secret is not the one that was dealt",
                )
                continue
            shares[places[holder]] = share
        self._enough(owner, len(shares))
        return join(shares, threshold(len(self._holders(owner))))

    def _pair_seed(self, gone: int, present: int, key: bytes) -> bytes:
        pair = DevicePair(self.invitation.session, gone, present)
        return pair.mask_seed(key, self._adverts[present].mask_key)

    def _holders(self, owner: int) -> set[int]:
        """All that were dealt a share of `owner`'s secrets and dealt themselves."""
        return {owner, *self._around[owner]}

    def _enough(self, owner: int, count: int) -> None:
        wanted = threshold(len(self._holders(owner)))
        if count < wanted:
            raise FederationError(
                f"{count} of the {wanted} devices are left that are needed to take"
                f" {self.name(owner)}'s mask off the sum{self._reasons()}",
                fix="run the round again; give devices more time if it happens often",
            )

    def _whole(self, one: int, deal: Deal) -> bool:
        around = set(self._around[one])
        short = all(len(parcel) <= PARCEL_BYTES for parcel in deal.parcels.values())
        return short and set(deal.parcels) == around and set(deal.checks) == {one, *around}

    def _unsigned(self) -> list[int]:
        """Whom devices that sign would refuse, and with that the whole sum."""
        unsigned = [one for one, advert in self._adverts.items() if advert.proof is None]
        return unsigned if len(unsigned) < len(self._adverts) else []

    def _shared_keys(self) -> list[int]:
        seen: dict[bytes, int] = {}
        doubles = set()
        for one, advert in sorted(self._adverts.items()):
            for key in (advert.mask_key, advert.seal_key):
                if key in seen:
                    doubles |= {one, seen[key]}
                seen[key] = one
        return sorted(doubles)

    def _missing(self, one: int, what: str) -> None:
        self.aside.setdefault(one, f"its {what} did not come in time")

    def _set_aside(self, one: int, reason: str) -> None:
        self.aside[one] = reason

    def _reasons(self) -> str:
        reasons = [f"{self.name(one)}: {reason}" for one, reason in sorted(self.aside.items())]
        return f" ({'; '.join(reasons)})" if reasons else ""

    def _false(self, owner: int) -> FederationError:
        self._set_aside(owner, "dealt shares that are not of its secrets")
        return FederationError(
            f"{self.name(owner)} dealt shares that are not of its secrets, so that its mask stays",
            fix=f"leave {self.name(owner)} out of the next round",
        )


def _sound(advert: Advert) -> bool:
    keys = is_key(advert.mask_key) and is_key(advert.seal_key)
    return keys and len(advert.seed_check) == COMMITMENT_BYTES
