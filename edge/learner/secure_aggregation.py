"""A device's side of secure aggregation: what it gives away in each exchange, and what it refuses.

The server decides who takes part, but the device decides what it says. It deals once, masks once
and reveals once; of any neighbour it reveals a share of the seed or of the key, never of both; and
it reveals nothing where so few are left that the sum would say too much.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

import msgspec

from shared.errors import FederationError
from shared.federation.fixed_point import FixedPoint, Floats, pack, unpack
from shared.federation.masking import (
    FEWEST,
    SEED_BYTES,
    DevicePair,
    KeyPair,
    commitment,
    masked,
    neighbours,
    threshold,
)
from shared.federation.secure_aggregation import (
    SESSION_BYTES,
    Advert,
    Deal,
    Invitation,
    Masked,
    Revealed,
    Roster,
    Shares,
    SharesDelivery,
    Survivors,
    read,
    written,
)
from shared.federation.shamir import Entropy, split

_AGAIN = "start another round"


class KeyProofs(Protocol):
    """Signs this device's keys, and checks whose those of others are. Raises FederationError."""

    def signed(self, session: bytes, node: int, advert: Advert) -> Advert:
        """The same keys with a proof that they are this node's."""

    def check(self, session: bytes, node: int, advert: Advert) -> None:
        """Whether these are the keys of the device of this node."""


class Stage(StrEnum):
    """What the device has given away so far."""

    KEYS = "keys"
    SHARES = "shares"
    MASKED = "masked update"


class SecureSession(msgspec.Struct, frozen=True):
    """What a device keeps, in memory and for one round.

    words   the encoded update, packed; gone as soon as it was sent under its masks
    seed    of its own mask
    held    by owner, itself among them: what it was dealt
    """

    stage: Stage
    session: bytes
    me: int
    words: bytes
    length: int
    mask_key: bytes
    seal_key: bytes
    seed: bytes
    adverts: dict[int, Advert] = {}
    held: dict[int, Shares] = {}


def advertise(
    invitation: Invitation,
    me: int,
    values: Floats,
    limits: Floats,
    weight: int,
    *,
    entropy: Entropy = secrets.token_bytes,
) -> tuple[SecureSession, Advert]:
    """Keep the update and answer with keys. `limits` has a limit a value."""
    if len(invitation.session) != SESSION_BYTES or invitation.devices < FEWEST:
        raise FederationError(
            f"a sum of {invitation.devices} updates would give this one away",
            fix=f"invite {FEWEST} devices or more",
        )
    words = FixedPoint(invitation.devices, invitation.cap).encode(values, limits, weight)
    mask_pair, seal_pair = KeyPair.new(entropy), KeyPair.new(entropy)
    seed = entropy(SEED_BYTES)
    session = SecureSession(
        stage=Stage.KEYS,
        session=invitation.session,
        me=me,
        words=pack(words),
        length=len(words),
        mask_key=mask_pair.private,
        seal_key=seal_pair.private,
        seed=seed,
    )
    return session, Advert(mask_pair.public, seal_pair.public, commitment(seed))


def deal(
    session: SecureSession,
    roster: Roster,
    entropy: Entropy = secrets.token_bytes,
    proofs: KeyProofs | None = None,
) -> tuple[SecureSession, Deal]:
    """Share both secrets among the neighbours and this device itself.

    proofs   tells whose keys the server has handed over; None: it is believed
    """
    _expect(session, Stage.KEYS)
    mine = _neighbours(session, roster)
    if proofs is not None:
        for one in mine:
            proofs.check(session.session, one, roster.adverts[one])
    places = {one: place for place, one in enumerate(sorted(roster.devices), start=1)}
    holders = {places[one]: one for one in (*mine, session.me)}
    enough = threshold(len(holders))
    seeds = split(session.seed, holders, enough, entropy)
    keys = split(session.mask_key, holders, enough, entropy)
    dealt = {one: Shares(seeds[place], keys[place]) for place, one in holders.items()}
    adverts = {one: roster.adverts[one] for one in mine}
    parcels = {
        one: DevicePair(session.session, session.me, one).seal(
            session.seal_key, adverts[one].seal_key, written(dealt[one])
        )
        for one in mine
    }
    checks = {one: (commitment(s.seed), commitment(s.key)) for one, s in dealt.items()}
    kept = msgspec.structs.replace(
        session, stage=Stage.SHARES, adverts=adverts, held={session.me: dealt[session.me]}
    )
    return kept, Deal(parcels, checks)


def mask(session: SecureSession, delivery: SharesDelivery) -> tuple[SecureSession, Masked]:
    """The update, under this device's mask and those with the neighbours whose shares came."""
    _expect(session, Stage.SHARES)
    _known(session, delivery.parcels)
    _enough(session, len(delivery.parcels) + 1, "dealt shares")
    held, pairs = dict(session.held), {}
    for one, parcel in delivery.parcels.items():
        pair, advert = DevicePair(session.session, session.me, one), session.adverts[one]
        held[one] = read(pair.open(session.seal_key, advert.seal_key, parcel), Shares)
        pairs[one] = pair.mask_seed(session.mask_key, advert.mask_key)
    words = masked(unpack(session.words, session.length), session.seed, pairs, session.me)
    kept = msgspec.structs.replace(session, stage=Stage.MASKED, held=held, words=b"")
    return kept, Masked(pack(words))


def unmask(session: SecureSession, survivors: Survivors) -> Revealed:
    """Shares of seeds of those that came, of keys of those that did not.

    The caller forgets the session before it sends them.
    """
    _expect(session, Stage.MASKED)
    came = set(survivors.devices)
    _known(session, came - {session.me})
    if session.me not in came:
        raise FederationError(
            "the server asks for shares but counts this device as gone", fix=_AGAIN
        )
    _enough(session, len(came & set(session.held)), "sent an update")
    return Revealed(
        seeds={one: shares.seed for one, shares in session.held.items() if one in came},
        keys={one: shares.key for one, shares in session.held.items() if one not in came},
    )


def _expect(session: SecureSession, stage: Stage) -> None:
    if session.stage is not stage:
        raise FederationError(
            f"the server asks out of turn: this device has given its {session.stage},"
            " and gives each thing once a round",
            fix=_AGAIN,
        )


def _neighbours(session: SecureSession, roster: Roster) -> tuple[int, ...]:
    devices = set(roster.devices)
    if len(devices) != len(roster.devices) or session.me not in devices:
        raise FederationError("the roster names a device twice, or not this one", fix=_AGAIN)
    if len(devices) < FEWEST:
        raise FederationError(
            f"{len(devices)} devices are left; a sum of so few would give this update away",
            fix=f"{FEWEST} or more must end their training in time",
        )
    mine = neighbours(devices, session.session)[session.me]
    if set(roster.adverts) != set(mine):
        raise FederationError("the roster lacks keys of this device's neighbours", fix=_AGAIN)
    halves = [key for one in mine for key in _public(roster.adverts[one])]
    if len(set(halves)) != len(halves):
        raise FederationError("the roster has one key for two devices", fix=_AGAIN)
    return mine


def _public(advert: Advert) -> tuple[bytes, bytes]:
    return advert.mask_key, advert.seal_key


def _known(session: SecureSession, devices: Collection[int]) -> None:
    allowed = set(session.adverts) if session.stage is Stage.SHARES else set(session.held)
    if strangers := set(devices) - allowed:
        raise FederationError(f"device {min(strangers)} is no neighbour in this round", fix=_AGAIN)


def _enough(session: SecureSession, count: int, what: str) -> None:
    wanted = threshold(len(session.adverts) + 1)
    if count < wanted:
        raise FederationError(
            f"{count} of {wanted} devices {what}: too few to hide this device's update",
            fix="invite more devices, or give them more time",
        )
