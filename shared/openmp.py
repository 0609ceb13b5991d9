"""How threads of OpenMP, which are torch's, wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = "1000"
OWN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def yield_early(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have a thread that waits give its core away soon; unless the environment says how it waits.

    Before torch is imported: its OpenMP reads the environment once. By default a thread turns in
    place 300,000 times. Where another program has the other core, that is all it does: a
    training step beside three other trainings on two cores took 14.5 s, with 1000 turns 1.3 s;
    alone on the machine it takes 0.3 s either way.
    """
    if not any(name in environment for name in OWN):
        environment["GOMP_SPINCOUNT"] = SPINS
