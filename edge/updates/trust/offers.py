"""From a target's name to what this device may take, by signed metadata."""

from __future__ import annotations

from edge.updates.base import Label, Offer, Patch, Unreachable
from edge.updates.trust.releases import ReleasesUnreachable, Trusts
from shared.errors import UpdateError
from shared.releases import ReleaseFacts, ReleaseKind


class TrustedOffers:
    """Offers of one kind, for one hardware as `shared.releases.hardware_here` names it."""

    def __init__(self, trust: Trusts, kind: ReleaseKind, hardware: str) -> None:
        self._trust = trust
        self._kind = kind
        self._hardware = hardware

    def offer(self, path: str, base: str) -> Offer:
        try:
            self._trust.refresh()
            found = self._trust.find(path)
            patch = self._trust.delta(found, base) if base else None
        except ReleasesUnreachable as error:
            raise Unreachable(error.message, fix=error.fix) from error
        self._require(path, found.facts)
        facts = found.facts
        label = Label(
            path=path,
            length=found.length,
            sha256=found.sha256,
            counter=facts.counter,
            name=facts.name,
            version=facts.version,
            pair=facts.pair,
            bundle=facts.bundle,
        )
        return Offer(
            label,
            self._trust.url(found),
            Patch(self._trust.url(patch), patch.length, patch.sha256) if patch else None,
        )

    def _require(self, path: str, facts: ReleaseFacts) -> None:
        if facts.kind != self._kind:
            raise UpdateError(
                f"{path} is of kind {facts.kind}, not {self._kind}", fix="choose another release"
            )
        if not facts.fits(self._hardware):
            raise UpdateError(
                f"{path} fits {', '.join(facts.hardware)}; this device is {self._hardware}",
                fix="choose a release for this hardware",
            )
