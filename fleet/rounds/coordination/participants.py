"""Who is there, who can take part, and why others can't."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp.grid import Grid

from fleet.rounds.aggregation.plain_aggregation import refusal_of
from fleet.rounds.configuration.settings import RoundSettings
from fleet.rounds.grids.base_grid import OwnGrid
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.report.findings import Exclusion, PossibleParticipant
from shared.clock import Clock
from shared.errors import WireError
from shared.federation.protocol import CONFIG, COUNTS, OTHER_BASE, REASONS, LabelCounts
from shared.log import get_logger

log = get_logger("rounds")

ASK_AGAIN_S = 5.0
"""Devices that were there and could not take part are asked again after so long."""
ABSENT = "not there: it did not answer"


@dataclass(frozen=True, slots=True)
class RoundParticipants:
    """A round's devices, in the order of their names.

    shortage   why there can't be a round; empty where there can
    """

    nodes: list[int]
    aside: list[Exclusion]
    shortage: str


class Participants:
    """Devices that have answered are known until they miss a deadline; only who is not known is
    asked again, so that a round among known devices costs one exchange.
    """

    def __init__(
        self, grid: Grid, messaging: GridMessaging, settings: RoundSettings, base: str, clock: Clock
    ) -> None:
        self._grid = grid
        self._clock = clock
        self._messaging = messaging
        self._settings = settings
        self._base = base
        self._known: dict[int, LabelCounts] = {}
        self._unfit: dict[int, str] = {}
        self._names: dict[int, str] = {}

    def name(self, node: int) -> str:
        """Of a device: as it is addressed, where the grid is ours, or as it calls itself; its
        number where it never answered."""
        return self._names.get(node) or self._addressed(node) or f"node {node}"

    def forget(self, nodes: Iterable[int]) -> None:
        """They missed a deadline: before they are asked to train again they must answer."""
        for node in nodes:
            self._known.pop(node, None)

    def all(self) -> list[PossibleParticipant]:
        """Everyone, by name."""
        self._known.clear()
        nodes = self._ask()
        return sorted((self._possible(node) for node in nodes), key=lambda one: one.device)

    def present(self) -> dict[int, str]:
        """Who can take part now, by node."""
        return {node: self.name(node) for node in self._ask() if not self._reason(node)}

    def choose(self, seed: str) -> RoundParticipants:
        """Devices for the next round: those that can, or a share of them drawn at random.

        Where they are too few, others are waited for, as long as `patience_s` says.
        """
        until = self._clock.monotonic() + self._settings.patience_s
        chosen = self._choose(random.Random(seed))  # noqa: S311
        while chosen.shortage and isinstance(self._grid, OwnGrid):
            left = until - self._clock.monotonic()
            if left <= 0 or not self._grid.wait(min(left, ASK_AGAIN_S)):
                break
            log.info("waiting_for_devices", why=chosen.shortage, seconds=round(left, 1))
            chosen = self._choose(random.Random(seed))  # noqa: S311
        return chosen

    def _choose(self, draws: random.Random) -> RoundParticipants:
        nodes = self._ask()
        reasons = {node: self._reason(node) for node in nodes}
        able = sorted((n for n in nodes if not reasons[n]), key=self.name)
        wanted = max(self._settings.least_devices, math.ceil(self._settings.share * len(able)))
        shortage = self.shortage(len(able))
        if not shortage and wanted < len(able):
            able = sorted(draws.sample(able, wanted), key=self.name)
        aside = [Exclusion(self.name(n), reason) for n, reason in reasons.items() if reason]
        return RoundParticipants(able, aside, shortage)

    def shortage(self, devices: int) -> str:
        """Why so many are too few; empty where they are not."""
        least = self._settings.least_devices
        return "" if devices >= least else f"{devices} of at least {least} devices took part"

    def _ask(self) -> Sequence[int]:
        nodes = list(self._grid.get_node_ids())
        unknown = [node for node in nodes if node not in self._known]
        if not unknown:
            return nodes
        queries = [Message(RecordDict(), node, MessageType.QUERY) for node in unknown]
        self._unfit = dict.fromkeys(unknown, ABSENT)
        for reply in self._messaging(queries, timeout=self._settings.answer_s):
            self._remember(reply)
        return nodes

    def _remember(self, reply: Message) -> None:
        node = reply.metadata.src_node_id
        if reply.has_error():
            self._unfit[node] = refusal_of(reply.error.code, reply.error.reason)
            return
        try:
            counts = LabelCounts.decode(reply.content.config_records[CONFIG][COUNTS])
        except (KeyError, WireError) as error:
            self._unfit[node] = f"its answer can't be read ({error})"
            return
        addressed = self._addressed(node)
        if addressed and counts.device != addressed:
            self._unfit[node] = f"it answers in the name of {counts.device}"
            return
        twin = next((n for n, c in self._known.items() if c.device == counts.device), node)
        if twin != node:
            self._unfit[node] = f"another device is called {counts.device} too"
            return
        self._known[node] = counts
        self._names[node] = counts.device
        del self._unfit[node]

    def _addressed(self, node: int) -> str:
        return self._grid.name_of(node) if isinstance(self._grid, OwnGrid) else ""

    def _reason(self, node: int) -> str:
        """Why a device can't take part; empty where it can."""
        counts = self._known.get(node)
        if counts is None:
            return self._unfit.get(node, ABSENT)
        refusal = counts.refusal()
        if refusal is not None:
            return REASONS[refusal]
        if counts.base != self._base:
            found = counts.base[:12] or "none"
            return f"{REASONS[OTHER_BASE]} (its base is {found}, not {self._base[:12]})"
        if counts.parts < self._settings.least_parts:
            return f"{counts.parts} labelled parts, at least {self._settings.least_parts} wanted"
        return ""

    def _possible(self, node: int) -> PossibleParticipant:
        reason, counts = self._reason(node), self._known.get(node)
        nothing: dict[str, int] = {}
        return PossibleParticipant(
            device=self.name(node),
            takes_part=not reason,
            reason=reason,
            good=counts.good if counts else nothing,
            defective=counts.defective if counts else nothing,
            held_out=counts.held_out if counts else 0,
        )
