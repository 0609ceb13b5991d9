"""How many files and connections this process may have open."""

from __future__ import annotations

import resource

WANTED = 65_536


def open_files() -> int:
    """As many, at most."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else min(soft, WANTED)


def raise_limit() -> None:
    """As many as this user may, up to WANTED: hundreds of silent connections use up the usual ones.

    What is started from here inherits it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
