"""Passwords: only what argon2 makes of them is kept."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from shared.errors import AccountError

SHORTEST, LONGEST = 12, 256
# Each takes 64 MiB and a quarter of a second: who sends many at once shall not take the machine.
AT_ONCE = 2
PATIENCE_S = 5.0


class Passwords:
    """Hashes and checks passwords, a few at a time. Safe to share between threads."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """hasher: argon2id with the costs of RFC 9106 for little memory, unless given"""
        self._hasher = hasher or PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        # Of no password, so that a name that is unknown takes as long.
        self._nobodys = (
            f"$argon2id$v=19$m={self._hasher.memory_cost},t={self._hasher.time_cost},"
            f"p={self._hasher.parallelism}${'A' * 22}${'A' * 43}"
        )

    def hash(self, password: str, name: str) -> str:
        """What is kept of a new password. Raises AccountError for one that is easily guessed."""
        if len(password) < SHORTEST:
            raise AccountError(
                f"the password has {len(password)} characters",
                fix=f"take {SHORTEST} or more: four words that don't belong together will do",
            )
        if len(password) > LONGEST:
            raise AccountError("the password is too long", fix=f"take {LONGEST} characters at most")
        if name.casefold() in password.casefold() and len(password) < len(name) + SHORTEST:
            raise AccountError("the password is made of the name", fix="take another")
        if len(set(password)) < 5:
            raise AccountError("the password is the same few characters", fix="take another")
        with self._turns:
            return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether this is the password of which `kept` was made.

        kept   None where there is none: that takes as long, and never fits
        Raises AccountError where so many are checked already that it would take too long.
        """
        if not self._turns.acquire(timeout=PATIENCE_S):
            raise AccountError("too many sign in at once", fix="try again in a moment")
        try:
            return self._verify(password[: LONGEST + 1], kept or self._nobodys) and kept is not None
        finally:
            self._turns.release()

    def outdated(self, kept: str) -> bool:
        """Whether it was made at a lower cost than today's."""
        return self._hasher.check_needs_rehash(kept)

    def rehash(self, password: str) -> str:
        """At today's cost, of a password that was right."""
        with self._turns:
            return self._hasher.hash(password)

    def _verify(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (Argon2Error, InvalidHashError):
            return False
