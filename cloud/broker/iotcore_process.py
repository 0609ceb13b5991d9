"""The child process that runs iotcore's broker: `python -P -m cloud.broker.iotcore_process CONFIG`.

iotcore's own entry point logs every packet and leaves Nagle's algorithm on, which costs 40 ms
an exchange; both are put right here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import sys
import threading
from pathlib import Path

from iotcore.iotcore import IotCoreBroker

from shared.worker import Worker

LOOK_EVERY_S = 0.01
LOOK_TIMES = 1000
# Connections that came before the listening socket was set are found by looking on for a while.
LOOKS_AFTER = 200


def main() -> None:
    """Serve until killed."""
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    # Should it fail, this is a slower broker, and still one.
    Worker("nagle", disable_nagle, on_death=lambda _name, _error: None).start()
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


def disable_nagle() -> None:
    """Switch Nagle off on the listening socket once it is there, and on what it has accepted.

    Linux hands the option down to every later connection; rumqttd has no setting for it.
    """
    pause = threading.Event()
    left = LOOK_TIMES
    listening = False
    while left:
        found = [_disable(int(entry.name)) for entry in Path("/proc/self/fd").iterdir()]
        if any(found) and not listening:
            listening, left = True, LOOKS_AFTER
        left -= 1
        pause.wait(LOOK_EVERY_S)


def _disable(descriptor: int) -> bool:
    """Whether this is the listening socket."""
    try:
        # What is no socket must not be copied: a copy that no socket takes over stays open.
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return False
    with sock:
        if sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return False
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


if __name__ == "__main__":
    main()
