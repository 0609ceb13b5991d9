"""Carries rollouts out: hears devices, decides with `rollout.step`, stores, and asks.

Each decision and what it asks are stored in one transaction before anything is published, so a
killed cloud goes on from where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fleet.rollouts import precedence, roster, store
from fleet.rollouts import rollout as orders
from fleet.rollouts.plan import RolloutPlan, with_approval
from fleet.rollouts.rollout import Member, Rollout
from fleet.rollouts.shadow import DeviceHealth, DeviceShadow, health_of
from fleet.rollouts.shadows import DesiredState, Shadows, changed
from fleet.rollouts.step import Sighting, TargetRequest, step
from fleet.rollouts.store import StoredRollout, Told
from fleet.storage.database import FleetDatabase
from shared.clock import Clock
from shared.errors import AccessRefused, RecordsError, RolloutError
from shared.log import get_logger
from shared.plugins.services import ServedTails
from shared.releases import ReleaseFacts
from shared.topics import Address
from shared.web.access import Caller
from shared.worker import OnDeath, Worker

log = get_logger("rollouts")

Releases = Callable[[str], ReleaseFacts]
"""The facts of a published target. Raises ReleaseError for one that there is not."""
PutOut = Callable[[], Mapping[str, str]]
"""Devices that are held or revoked, and why."""
PUT_OUT_EVERY_S = 5.0
TICK_S = 1.0
PAUSE_S = 0.1
BACK_HEALTH_S = 10.0


class RolloutController:
    """Every rollout of the fleet. Safe to call from any thread."""

    def __init__(
        self,
        *,
        database: FleetDatabase,
        shadows: Shadows,
        releases: Releases,
        tails: ServedTails,
        clock: Clock,
        put_out: PutOut = dict,
        on_death: OnDeath,
        people: int = 1,
    ) -> None:
        """people: that a rollout takes; 2: whoever starts one can't let its rings begin"""
        self._database = database
        self.shadows = shadows
        self._releases = releases
        self._tails = tails
        self._clock = clock
        self._people = people
        self._put_out_now = put_out
        self._put_out: Mapping[str, str] = {}
        self._put_out_at = float("-inf")
        self._kept: dict[int, StoredRollout] = {}
        self._lock = threading.RLock()
        # Without this thread no rollout would ever stop.
        self._worker = Worker(
            "rollouts",
            self._go_on,
            on_death=on_death,
            retry_s=PAUSE_S,
            unblock=shadows.arrived.set,
        )

    # ---- what people want

    def begin(self, target: str, plan: RolloutPlan, by: str) -> StoredRollout:
        """Start a rollout. Raises RolloutError or ReleaseError where it can't be."""
        with self._lock:
            facts, rollout = self._ready(target, plan)
            now = rollout.opened_at
            with self._database.begin() as connection:
                kept = store.add_rollout(connection, StoredRollout(rollout, facts, by, now))
            self._kept = {kept.rollout.id: kept, **self._kept}
            log.info(
                "rollout_started",
                rollout=kept.rollout.id,
                target=target,
                devices=len(rollout.members),
                aside=rollout.count("aside"),
                by=by,
            )
            self.tick()
            return self.find(kept.rollout.id)

    def preview(self, target: str, plan: RolloutPlan) -> Rollout:
        """What `begin` would start now, and starts not. Raises as that does."""
        with self._lock:
            return self._ready(target, plan)[1]

    def _ready(self, target: str, plan: RolloutPlan) -> tuple[ReleaseFacts, Rollout]:
        if self._people > 1:
            plan = with_approval(plan)
        facts = self._releases(target)
        self._require_tails(facts)
        self.shadows.take()
        self._look_at_put_out()
        now = self._clock.utc()
        members = roster.enlist(
            target, plan, self.shadows.all(), lambda s: self._aside(s, facts, plan, now)
        )
        precedence.require_alone(self._kept.values(), facts, members)
        return facts, Rollout(0, facts.kind, target, plan, members=members).entered(0, now)

    def pause(self, id_: int, by: str) -> StoredRollout:
        """Raises RolloutError, as all of these do, for one that is not there or can't."""
        return self._change(id_, "rollout_paused", by, lambda r, _: orders.pause(r, by))

    def resume(self, id_: int, by: str) -> StoredRollout:
        if self.find(id_).rollout.falls_short:
            self._require_another(id_, by)
        return self._change(id_, "rollout_resumed", by, lambda r, now: orders.resume(r, by, now))

    def approve(self, id_: int, by: str) -> StoredRollout:
        self._require_another(id_, by)
        return self._change(id_, "ring_approved", by, lambda r, now: orders.approve(r, by, now))

    def signed(self, caller: Caller, said: str | None) -> str:
        """Who wants something: the caller, or what is `said` where nobody can know.

        Raises SettingsError where nobody says, AccessRefused where two people are wanted.
        """
        if self._people > 1 and not caller.proven:
            raise AccessRefused(
                "a rollout takes two people here, and nobody knows who this is",
                fix="sign in, or send a token of your own",
            )
        return caller.signs(said, "by")

    def abort(self, id_: int, by: str, why: str = "") -> StoredRollout:
        """Of a rollout that has ended well, too, as long as no newer one has followed."""
        with self._lock:
            found = self.find(id_).rollout
            if found.state == "done":
                precedence.require_last(self._kept.values(), found)
            return self._change(id_, "rollout_aborted", by, lambda r, _: orders.abort(r, by, why))

    def is_last(self, rollout: Rollout) -> bool:
        """Whether no newer rollout has changed a device of this one."""
        with self._lock:
            try:
                precedence.require_last(self._kept.values(), rollout)
            except RolloutError:
                return False
            return True

    def rollouts(self) -> list[StoredRollout]:
        """Those under way and the newest others, newest first."""
        with self._lock:
            return sorted(self._kept.values(), key=lambda kept: -kept.rollout.id)

    def find(self, id_: int) -> StoredRollout:
        with self._lock:
            kept = self._kept.get(id_)
            if kept is None:
                with self._database.begin() as connection:
                    kept = next(iter(store.read_rollouts(connection, id_=id_)), None)
        if kept is None:
            raise RolloutError(
                f"there is no rollout {id_}",
                fix="`splitsight fleet rollout list` lists them",
                missing=True,
            )
        return kept

    def devices(self) -> list[DeviceShadow]:
        """Every device's shadow, by name."""
        with self._lock:
            known = self.shadows.all()
            return [known[a] for a in sorted(known, key=lambda a: (a.site, a.line, a.device))]

    def health(self) -> list[DeviceHealth]:
        """How every device fares, by name."""
        now = self._clock.utc()
        return [health_of(s, now, self._put_out.get(s.address.device, "")) for s in self.devices()]

    def shadow(self, name: str) -> tuple[DeviceShadow, list[Told]]:
        """A device's shadow and its history. Raises SettingsError for one that is not known."""
        with self._lock:
            self.shadows.take()
            self.shadows.flush()
            found = self.shadows.find(name)
        return found, self.shadows.history(found.address)

    def configure(
        self, name: str, settings: dict[str, str | int | float | bool], by: str
    ) -> DeviceShadow:
        """Want other settings of a device. Raises SettingsError for one that is not known."""
        with self._lock:
            self.shadows.take()
            shadow = self.shadows.find(name)
            what = "settings: " + (", ".join(f"{k}={v}" for k, v in settings.items()) or "its own")
            wanted = changed(shadow, settings=settings)
            self.shadows.save([DesiredState(shadow.address, wanted, what, by)])
            return self.shadows.of(shadow.address)

    def hold(self, name: str, why: str, by: str) -> None:
        """Want a device to change and send nothing; an empty `why` lets it go on."""
        with self._lock:
            self.shadows.take()
            shadow = self.shadows.find(name)
            what = f"held: {why}" if why else "no longer held"
            wish = DesiredState(shadow.address, changed(shadow, held=why), what, by)
            self.shadows.save([wish])

    def _require_another(self, id_: int, by: str) -> None:
        started_by = self.find(id_).started_by
        if self._people > 1 and by == started_by:
            raise RolloutError(
                f"{by} started rollout {id_}, and it takes two people here",
                fix="ask somebody else to look at it",
            )

    # ---- going on

    def start(self) -> None:
        """Read how everything stands, and go on from there. Raises RecordsError."""
        self.shadows.start()
        with self._lock, self._database.begin() as connection:
            self._kept = {k.rollout.id: k for k in store.read_rollouts(connection)}
        for kept in self._kept.values():
            if kept.rollout.active:
                log.info("rollout_resumed_after_start", rollout=kept.rollout.id)

    def run(self) -> None:
        """Tick on a thread of its own from here on."""
        self._worker.start()

    def stop(self) -> None:
        """May be called twice, and without `run`."""
        ran = self._worker.alive
        self._worker.stop()
        if ran:
            self._flush()

    def tick(self) -> None:
        """Take in what was heard, and decide. Raises RecordsError; the next one tries again."""
        with self._lock:
            heard = self.shadows.take()
            self._look_at_put_out()
            now = self._clock.utc()
            self._welcome(heard, now)
            for kept in self._kept_newest_first():
                if kept.rollout.active or precedence.is_owed(kept.rollout):
                    self._step(kept, now)
            self.shadows.send()

    def _go_on(self) -> float:
        self.shadows.arrived.wait(TICK_S)
        self.shadows.arrived.clear()
        try:
            self.tick()
        except RecordsError as error:
            log.warning("rollouts_not_stored", reason=str(error))
        # What comes in a burst is taken together.
        return PAUSE_S

    def _flush(self) -> None:
        try:
            self.shadows.flush()
        except RecordsError as error:
            log.warning("shadows_not_stored", reason=str(error))

    def _step(self, kept: StoredRollout, now: float) -> None:
        rollout = kept.rollout
        seen = self._seen(kept, now)
        before = rollout
        if rollout.state == "running" and not self._is_served(kept.facts):
            rollout = replace(rollout, state="paused", reason=roster.no_tail(kept.facts).message)
        after, asks = step(rollout, seen, now, "; ".join(self._lacking(kept.facts)))
        if after is before:
            return
        self._save(before, kept._replace(rollout=after), asks, now)

    def _save(
        self, before: Rollout, kept: StoredRollout, asks: Iterable[TargetRequest], now: float
    ) -> StoredRollout:
        after = kept.rollout
        if before.active != after.active:
            kept = kept._replace(ended_at=None if after.active else now)
        wishes = [self._wish(after, ask) for ask in asks]
        self.shadows.save(wishes, lambda conn: store.update_rollout(conn, before, kept))
        self._kept[after.id] = kept
        if (before.state, before.ring) != (after.state, after.ring):
            log.info(
                "rollout_moved",
                rollout=after.id,
                state=after.state,
                ring=after.plan.rings[after.ring].name,
                reason=after.reason,
            )
        return kept

    def _wish(self, rollout: Rollout, ask: TargetRequest) -> DesiredState:
        base = self.shadows.of(ask.address)
        targets = dict(base.desired.targets) if base.desired else {}
        returns = ask.target != rollout.target
        back = set(base.desired.back if base.desired else ()) - {rollout.kind}
        # What ran before has shown that it does; it need not show it for as long again.
        health_s = min(BACK_HEALTH_S, rollout.plan.health_s) if returns else rollout.plan.health_s
        wanted = changed(
            base,
            rollout=str(rollout.id),
            targets={**targets, rollout.kind: ask.target},
            shadow_parts=rollout.plan.shadow_parts,
            health_s=health_s,
            window=None if returns else rollout.plan.window,
            back=tuple(sorted(back | {rollout.kind} if returns else back)),
        )
        what = f"{rollout.kind}: {ask.target or 'as it was flashed'}"
        by = f"rollout {rollout.id}"
        return DesiredState(ask.address, wanted, f"back to {what}" if returns else what, by)

    def _change(
        self, id_: int, event: str, by: str, change: Callable[[Rollout, float], Rollout]
    ) -> StoredRollout:
        with self._lock:
            kept, now = self.find(id_), self._clock.utc()
            after = kept._replace(rollout=change(kept.rollout, now))
            log.info(event, rollout=id_, by=by)
            self._save(kept.rollout, after, (), now)
            self.tick()
            return self.find(id_)

    # ---- who takes part

    def _aside(
        self, shadow: DeviceShadow, facts: ReleaseFacts, plan: RolloutPlan, now: float
    ) -> str:
        return roster.unfit(
            shadow,
            facts,
            plan.away_s,
            self._put_out,
            now=now,
            listening_since=self.shadows.listening_since,
        )

    def _seen(self, kept: StoredRollout, now: float) -> dict[Address, Sighting]:
        rollout = kept.rollout
        seen = {}
        for address, member in rollout.members.items():
            if not rollout.active and not precedence.is_last_word(
                self._kept.values(), rollout, address
            ):
                continue
            shadow = self.shadows.of(address)
            aside = ""
            if member.phase in {"waiting", "aside", "asked"}:
                aside = self._aside(shadow, kept.facts, rollout.plan, now)
                if member.phase == "asked" and shadow.running(rollout.kind) == rollout.target:
                    aside = ""
            seen[address] = roster.sighting(rollout, shadow, aside, self.shadows.listening_since)
        return seen

    def _welcome(self, heard: set[Address], now: float) -> None:
        """Devices that were never heard of before belong to the newest rollout for all."""
        for address in heard:
            for kept in precedence.newest_of_each_kind(self._kept.values(), address):
                ring = roster.late_ring(kept.rollout.plan, address)
                if ring is not None and address not in kept.rollout.members:
                    member = Member(address, ring, "aside", "it came later", since=now)
                    members = {**kept.rollout.members, address: member}
                    joined = kept._replace(rollout=replace(kept.rollout, members=members))
                    self._save(kept.rollout, joined, (), now)

    def _kept_newest_first(self) -> list[StoredRollout]:
        return sorted(self._kept.values(), key=lambda kept: -kept.rollout.id)

    def _require_tails(self, facts: ReleaseFacts) -> None:
        if not self._is_served(facts):
            raise roster.no_tail(facts)
        lacking = self._lacking(facts)
        if lacking:
            raise roster.no_tails(facts, lacking)

    def _lacking(self, facts: ReleaseFacts) -> Sequence[str]:
        """Why a box that ran it could not count on every worker; empty where it could."""
        return self._tails.lacking(facts.pair) if facts.kind == "model" else ()

    def _is_served(self, facts: ReleaseFacts) -> bool:
        served = {tail.pair for tail in self._tails.served()}
        return facts.kind != "model" or facts.pair in served

    def _look_at_put_out(self) -> None:
        now = self._clock.monotonic()
        if now - self._put_out_at >= PUT_OUT_EVERY_S:
            self._put_out, self._put_out_at = self._put_out_now(), now
