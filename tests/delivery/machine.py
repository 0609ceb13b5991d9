"""What becomes of a few parts between a box, a broker and the cloud's workers, and what may fail.

Each field is what one of them really holds: memory is lost in a kill, a file is not. A step is the
least that can happen before or after a kill. Time is not modelled: a deadline may pass whenever a
part is open, or, where the machine is `timely`, only when nothing else is left to happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Pair = Literal["old", "new"]
PAIRS: tuple[Pair, ...] = ("old", "new")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the product does it. Each one turned round is a fault that has to be found.

    handed_on         a worker that lacks a pair's tail hands its escalation to those that have it
    handed_once       what was handed on is not handed on again
    served_first      a box runs a new pair only once a worker serves it; the product asks all of
                      them, and need not here
    stored_first      a receipt follows the commit
    once              an inspection that is stored again changes nothing
    late_is_kept      an answer behind the deadline is a correction and moves no ejector
    journaled_first   what the head decided is on disk before it is actuated
    noted_first       what the deadline decides is noted in a file before it is actuated
    numbers_reserved  a part's number is never given again
    resent            a batch without a receipt is sent again
    """

    handed_on: bool = True
    handed_once: bool = True
    served_first: bool = True
    stored_first: bool = True
    once: bool = True
    late_is_kept: bool = True
    journaled_first: bool = True
    noted_first: bool = True
    numbers_reserved: bool = True
    resent: bool = True


class Faults(NamedTuple):
    """How often each may still happen."""

    lost: int = 0
    doubled: int = 0
    broker_dies: int = 0
    box_dies: int = 0
    worker_dies: int = 0


NO_FAULTS = Faults()


class Part(NamedTuple):
    """A thing on the line. `number` 0: it has not come yet.

    memory   "", "open" or "settled": what the box that runs now knows of it
    disk     "", "open", or who decided
    noted    the file of what deadlines decided has it
    told     who decided what the actuator was told, in order
    """

    number: int = 0
    boot: int = 0
    sure: bool = False
    pair: Pair = "old"
    memory: str = ""
    disk: str = ""
    noted: bool = False
    settled: bool = False
    acknowledged: bool = False
    told: tuple[str, ...] = ()


class Message(NamedTuple):
    """On its way. `about`: a part's index, or a batch's parts; `topic`: who listens."""

    topic: str
    about: tuple[int, ...]
    number: int = 0


class Worker(NamedTuple):
    """One of the cloud's. `pairs`: whose tails it has; `inbox`: taken and not yet done."""

    up: bool
    pairs: tuple[Pair, ...]
    inbox: tuple[Message, ...] = ()
    receipts: tuple[int, ...] = ()


class State(NamedTuple):
    """All of it. `rows`: what the cloud's database holds, (boot, part's number, index)."""

    parts: tuple[Part, ...]
    faults: Faults
    workers: tuple[Worker, ...]
    up: bool = True
    boot: int = 1
    given: int = 0
    reserved: int = 0
    pair: Pair = "old"
    writes: tuple[tuple[str, int], ...] = ()
    done: tuple[tuple[str, int], ...] = ()
    batch: tuple[int, ...] = ()
    batches: int = 0
    flying: tuple[Message, ...] = ()
    rows: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The machine: `parts` of them, `workers` by the pairs whose tails they have at first.

    learns     workers get the tail that they lack, at some time
    timely     nothing is slower than a deadline
    """

    rules: Rules = Rules()
    parts: int = 2
    workers: tuple[tuple[Pair, ...], ...] = (("old", "new"), ("old",))
    faults: Faults = NO_FAULTS
    learns: bool = True
    timely: bool = False

    @property
    def start(self) -> State:
        workers = tuple(Worker(True, pairs) for pairs in self.workers)
        return State((Part(),) * self.parts, self.faults, workers)

    # What may happen.

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield from self._of_box(state)
        yield from self._of_network(state)
        for index in range(len(state.workers)):
            yield from self._of_worker(state, index)

    def _of_box(self, state: State) -> Iterator[tuple[str, State]]:
        if not state.up:
            yield "the box starts again", self._started(state)
            return
        yield from self._of_line(state)
        if state.pair == "old" and self._may_swap(state):
            yield "the box swaps its head", state._replace(pair="new")
        if state.writes:
            yield "the journal commits", self._committed(state)
        if state.done:
            yield from self._called_back(state)
        yield from self._of_outbox(state)
        if state.faults.box_dies:
            yield "the box is killed", self._box_killed(state)

    def _of_line(self, state: State) -> Iterator[tuple[str, State]]:
        """Parts come, and pass the ejector."""
        waiting = next((i for i, part in enumerate(state.parts) if not part.number), None)
        if waiting is not None:
            for sure in (True, False):
                comes = f"part {waiting} comes, {'sure' if sure else 'not sure'}"
                yield comes, self._triggered(state, waiting, sure=sure)
        idle = self._nothing_else(state)
        for index, part in enumerate(state.parts):
            if part.memory == "open" and (idle or not self.timely):
                yield f"part {index}'s deadline passes", self._expired(state, index)

    def _of_outbox(self, state: State) -> Iterator[tuple[str, State]]:
        if not state.batch and (due := self._due(state)):
            yield f"the box sends {due}", self._sent(state, due)
        # While nobody is there it is sent in vain, again and again: that changes nothing.
        heard = any(worker.up for worker in state.workers)
        if state.batch and self.rules.resent and heard and self._is_gone(state, state.batches):
            again = Message("inspections", state.batch, state.batches)
            yield "the box sends again", _published(state, again)

    def _of_network(self, state: State) -> Iterator[tuple[str, State]]:
        faults = state.faults
        for message in dict.fromkeys(state.flying):
            left = _without(state, message)
            yield from self._delivered(left, message)
            if faults.lost:
                yield (
                    f"{message} is lost",
                    left._replace(faults=faults._replace(lost=faults.lost - 1)),
                )
            if faults.doubled:
                yield (
                    f"{message} is doubled",
                    _published(
                        state._replace(faults=faults._replace(doubled=faults.doubled - 1)), message
                    ),
                )
        if faults.broker_dies and state.flying:
            fewer = faults._replace(broker_dies=faults.broker_dies - 1)
            yield "the broker is killed", state._replace(flying=(), faults=fewer)

    def _delivered(self, left: State, message: Message) -> Iterator[tuple[str, State]]:
        if message.topic in {"verdict", "receipt"}:
            # Nobody listens while the box is down, and the broker keeps nothing for it.
            after = self._to_box(left, message) if left.up else left
            yield f"the box gets {message}", after
            return
        listening = [
            index
            for index, worker in enumerate(left.workers)
            if worker.up and (message.topic not in PAIRS or message.topic in worker.pairs)
        ]
        for index in listening:
            worker = left.workers[index]
            taken = worker._replace(inbox=(*worker.inbox, message))
            yield f"worker {index} gets {message}", _with_worker(left, index, taken)
        if not listening:
            yield f"nobody listens for {message}", left

    def _of_worker(self, state: State, index: int) -> Iterator[tuple[str, State]]:
        worker = state.workers[index]
        if not worker.up:
            yield (
                f"worker {index} starts again",
                _with_worker(state, index, worker._replace(up=True)),
            )
            return
        if self.learns and "new" not in worker.pairs:
            yield (
                f"worker {index} gets the new tail",
                _with_worker(state, index, worker._replace(pairs=PAIRS)),
            )
        if worker.inbox:
            yield from self._worked(state, index)
        if worker.receipts:
            number, *later = worker.receipts
            fewer = _with_worker(state, index, worker._replace(receipts=tuple(later)))
            yield (
                f"worker {index} sends receipt {number}",
                _published(fewer, Message("receipt", (), number)),
            )
        if state.faults.worker_dies:
            fewer_faults = state.faults._replace(worker_dies=state.faults.worker_dies - 1)
            killed = worker._replace(up=False, inbox=(), receipts=())
            yield (
                f"worker {index} is killed",
                _with_worker(state._replace(faults=fewer_faults), index, killed),
            )

    # The box.

    def _triggered(self, state: State, index: int, *, sure: bool) -> State:
        number = state.given + 1
        reserved = max(state.reserved, number) if self.rules.numbers_reserved else state.reserved
        part = Part(number, state.boot, sure, state.pair, "open")
        after = _with_part(state, index, part)._replace(given=number, reserved=reserved)
        after = after._replace(writes=(*after.writes, ("record", index)))
        if sure and not self.rules.journaled_first:
            after = self._concluded(after, index, "edge")
        return after if sure else _published(after, Message("escalation", (index,)))

    def _may_swap(self, state: State) -> bool:
        serving = any(worker.up and "new" in worker.pairs for worker in state.workers)
        return serving or not self.rules.served_first

    def _committed(self, state: State) -> State:
        """One transaction; what follows from it comes later, or never."""
        after = state._replace(writes=(), done=(*state.done, *state.writes))
        for kind, index in state.writes:
            part = after.parts[index]
            if kind == "record":
                if not part.disk:
                    part = part._replace(disk="edge" if part.sure else "open")
            elif kind == "answer":
                if part.disk == "open" and not part.settled:
                    part = part._replace(disk="cloud")
            elif kind == "fail-safe":
                part = part._replace(disk="deadline", settled=True)
            elif kind == "settle":
                part = part._replace(settled=True)
            elif kind == "acknowledge":
                part = part._replace(acknowledged=True)
            after = _with_part(after, index, part)
        return after

    def _called_back(self, state: State) -> Iterator[tuple[str, State]]:
        (kind, index), *later = state.done
        after = state._replace(done=tuple(later))
        part = state.parts[index]
        if kind == "record" and part.sure:
            after = self._concluded(after, index, "edge")
        elif kind == "answer":
            after = self._concluded(after, index, "cloud")
        elif kind == "acknowledge" and after.batch[-1:] == (index,):
            after = after._replace(batch=())
        yield f"the journal calls back: {kind} of part {index}", after

    def _concluded(self, state: State, index: int, decider: str) -> State:
        if state.parts[index].memory != "open":
            return state
        after = self._told(state, index, decider)
        return after._replace(writes=(*after.writes, ("settle", index)))

    def _told(self, state: State, index: int, decider: str) -> State:
        part = state.parts[index]
        told = part._replace(memory="settled", told=(*part.told, decider))
        return _with_part(state, index, told)

    def _expired(self, state: State, index: int) -> State:
        noted = state.parts[index]._replace(noted=self.rules.noted_first)
        after = self._told(_with_part(state, index, noted), index, "deadline")
        return after._replace(writes=(*after.writes, ("fail-safe", index)))

    def _to_box(self, state: State, message: Message) -> State:
        if message.topic == "receipt":
            if message.number != state.batches or not state.batch:
                return state
            writes = tuple(("acknowledge", index) for index in state.batch)
            return state._replace(writes=(*state.writes, *writes))
        (index,) = message.about
        part = state.parts[index]
        if part.boot != state.boot:
            return state
        if not self.rules.late_is_kept and part.memory == "settled":
            return self._told(state, index, "cloud")
        return state._replace(writes=(*state.writes, ("answer", index)))

    def _due(self, state: State) -> tuple[int, ...]:
        return tuple(
            index
            for index, part in enumerate(state.parts)
            if part.settled and part.disk not in {"", "open"} and not part.acknowledged
        )

    def _sent(self, state: State, due: tuple[int, ...]) -> State:
        number = state.batches + 1
        after = state._replace(batch=due, batches=number)
        return _published(after, Message("inspections", due, number))

    def _is_gone(self, state: State, number: int) -> bool:
        """Neither the batch nor its receipt is anywhere any more: the time to send again."""
        flying = any(m.number == number for m in state.flying)
        held = any(
            number in worker.receipts or any(m.number == number for m in worker.inbox)
            for worker in state.workers
        )
        waiting = any(kind == "acknowledge" for kind, _ in (*state.writes, *state.done))
        return not (flying or held or waiting)

    def _box_killed(self, state: State) -> State:
        faults = state.faults._replace(box_dies=state.faults.box_dies - 1)
        parts = tuple(part._replace(memory="") for part in state.parts)
        return state._replace(up=False, faults=faults, parts=parts, writes=(), done=(), batch=())

    def _started(self, state: State) -> State:
        parts = tuple(
            part._replace(
                disk="deadline" if part.noted or part.disk == "open" else part.disk, settled=True
            )
            if part.disk or part.noted
            else part
            for part in state.parts
        )
        on_disk = max([part.number for part in parts if part.disk], default=0)
        return state._replace(
            up=True,
            boot=state.boot + 1,
            parts=parts,
            given=max(on_disk, state.reserved),
        )

    # The cloud.

    def _worked(self, state: State, index: int) -> Iterator[tuple[str, State]]:
        worker = state.workers[index]
        message, *later = worker.inbox
        after = _with_worker(state, index, worker._replace(inbox=tuple(later)))
        if message.topic == "inspections":
            yield from self._batch_worked(after, index, message)
            return
        (part,) = message.about
        pair = state.parts[part].pair
        if pair in worker.pairs:
            yield (
                f"worker {index} answers part {part}",
                _published(after, Message("verdict", (part,))),
            )
        elif self.rules.handed_on and message.topic == "escalation":
            to = pair if self.rules.handed_once else "escalation"
            yield f"worker {index} hands part {part} on", _published(after, Message(to, (part,)))
        else:
            yield f"worker {index} drops part {part}", after

    def _batch_worked(
        self, state: State, index: int, message: Message
    ) -> Iterator[tuple[str, State]]:
        worker = state.workers[index]
        if not self.rules.stored_first and message.number not in worker.receipts:
            # Told before it is stored: what is left in the inbox is stored later, or never.
            again = worker._replace(inbox=(message, *worker.inbox))
            early = _published(
                _with_worker(state, index, again), Message("receipt", (), message.number)
            )
            marked = again._replace(receipts=(*worker.receipts, message.number))
            yield (
                f"worker {index} sends receipt {message.number} early",
                _with_worker(early, index, marked),
            )
            return
        rows = list(state.rows)
        for part in message.about:
            row = (state.parts[part].boot, state.parts[part].number, part)
            if row not in rows or not self.rules.once:
                rows.append(row)
        receipts = worker.receipts
        if self.rules.stored_first:
            receipts = (*receipts, message.number)
        stored = _with_worker(state, index, worker._replace(receipts=receipts))
        yield f"worker {index} stores {message.about}", stored._replace(rows=tuple(sorted(rows)))

    # What must hold.

    def wrong(self, state: State) -> str:
        well = self.timely and state.faults == self.faults
        for index, part in enumerate(state.parts):
            if wrong := _wrong(state, index, part, well=well):
                return wrong
        numbers = [part.number for part in state.parts if part.number]
        if len(set(numbers)) < len(numbers):
            return f"two parts have one number: {numbers}"
        physical = [index for _, _, index in state.rows]
        if len(set(physical)) < len(physical):
            return f"a part is counted twice: {state.rows}"
        return ""

    def unfinished(self, state: State) -> str:
        for index, part in enumerate(state.parts):
            if not part.told and not self.faults.box_dies:
                return f"part {index} is without a verdict"
            stored = (part.boot, part.number, index) in state.rows
            if part.disk and not stored:
                return f"part {index} was journaled, and is lost"
            if part.told and not stored:
                return f"part {index} was actuated, and no record has it"
        return ""

    def _nothing_else(self, state: State) -> bool:
        """Nothing is under way that a deadline would have to wait for."""
        busy = state.flying or state.writes or state.done
        return not (busy or any(w.inbox or w.receipts for w in state.workers))


def _wrong(state: State, index: int, part: Part, *, well: bool) -> str:
    """well: nothing has failed, and nothing was slow"""
    if len(part.told) > 1:
        return f"part {index} was actuated twice, by {' and '.join(part.told)}"
    if part.told in {("edge",), ("cloud",)} and part.disk != part.told[0]:
        return f"part {index} was actuated by the {part.told[0]}, and no record has it"
    if well and part.told == ("deadline",):
        return f"nothing failed, and part {index} was decided by the deadline"
    if part.acknowledged and (part.boot, part.number, index) not in state.rows:
        return f"part {index} is forgotten by the box, and the cloud does not have it"
    return ""


def _published(state: State, message: Message) -> State:
    return state._replace(flying=tuple(sorted((*state.flying, message))))


def _without(state: State, message: Message) -> State:
    flying = list(state.flying)
    flying.remove(message)
    return state._replace(flying=tuple(flying))


def _with_part(state: State, index: int, part: Part) -> State:
    parts = list(state.parts)
    parts[index] = part
    return state._replace(parts=tuple(parts))


def _with_worker(state: State, index: int, worker: Worker) -> State:
    workers = list(state.workers)
    workers[index] = worker
    return state._replace(workers=tuple(workers))
