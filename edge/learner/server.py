"""The learner's process: tasks in over a socket, answers out, until the agent ends it."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp

from edge.identity.key_proofs import CertifiedKeys
from edge.learner.client_app import client_app
from edge.learner.device import LearningDevice
from edge.learner.local_state import LocalState
from edge.learner.trainable import SplitStudent, StudentMaker
from edge.learning.journal_parts import JournalParts
from edge.learning.learner_process import Task, TaskDone
from shared import log
from shared.clock import SystemClock
from shared.errors import SplitsightError
from shared.federation.base_network import BaseNetwork
from shared.federation.flower_private import message_from_bytes, message_to_bytes
from shared.federation.protocol import node_of

LOG = log.get_logger("learner")


class Served:
    """Answers tasks; what was looked at and built is kept between them.

    make_app   the ClientApp of a base network
    refresh    called before a training: labels may have changed since the last
    """

    def __init__(
        self, make_app: Callable[[Path], ClientApp], refresh: Callable[[], None], node: int
    ) -> None:
        self._make_app = make_app
        self._refresh = refresh
        self._apps: dict[str, ClientApp] = {}
        self._context = Context(0, node, {}, RecordDict(), {})

    def do(self, task: Task) -> TaskDone:
        """One task; whatever happens in it is told, and the learner goes on."""
        try:
            message = message_from_bytes(Path(task.message).read_bytes())
            if message.metadata.message_type == "train":
                self._refresh()
            if task.base not in self._apps:
                # One network at a time: a new base means that the old one is no longer learned.
                self._apps = {task.base: self._make_app(Path(task.base))}
            reply = self._apps[task.base](message, self._context)
            answer = Path(task.message).with_suffix(".answer")
            answer.write_bytes(message_to_bytes(reply))
        except SplitsightError as error:
            return TaskDone(task.id, problem=error.message)
        except Exception as error:
            LOG.exception("learner_failed")
            return TaskDone(task.id, problem=f"{type(error).__name__}: {error}"[:300])
        return TaskDone(task.id, str(answer), holds=bool(self._context.state))


def serve(channel: socket.socket, served: Served) -> None:
    """Do tasks one after the other until the other side closes."""
    with channel, channel.makefile("rb") as lines:
        for line in lines:
            done = served.do(msgspec.json.decode(line, type=Task))
            channel.sendall(msgspec.json.encode(done) + b"\n")


def main(maker: StudentMaker = SplitStudent) -> None:
    """`python -m edge.learner --fd N --journal FILE --device NAME --state FOLDER`."""
    parser = argparse.ArgumentParser(description="The learner of one device; the agent starts it.")
    parser.add_argument("--fd", type=int, required=True, help="of the socket to the agent")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--state", type=Path, required=True, help="what stays on this device")
    parser.add_argument("--identity", type=Path, help="the folder of its certificate")
    parser.add_argument("--ca", type=Path, help="the fleet's authority")
    options = parser.parse_args()
    log.configure()
    parts = JournalParts(options.journal, options.device)
    state = LocalState(options.state)
    proofs = (
        CertifiedKeys(options.identity, options.ca, SystemClock())
        if options.identity and options.ca
        else None
    )

    def make_app(base: Path) -> ClientApp:
        device = LearningDevice(parts, BaseNetwork.read(base), state, maker=maker)
        return client_app(device, proofs)

    served = Served(make_app, parts.refresh, node_of(options.device))
    serve(socket.socket(fileno=options.fd), served)
