"""Secrets kept out of what people and logs read: known ones by value, others by shape."""

from __future__ import annotations

import re
import threading
from urllib.parse import quote, quote_plus, unquote

# Shorter ones are parts of ordinary words; what is typed as a secret is not shown anyway.
SHORTEST = 4
# From here on a secret is found inside other words too.
DISTINCT = 6
MOST_KNOWN = 1024

# People write passwords with `@` and `/` in them, so it takes too much rather than too little:
# up to the last `@` of the authority, or of the word where what follows the colon is no port.
# One slash is enough, since that is what `Path` makes of two.
_CREDENTIALS = re.compile(
    r"(?<![a-z0-9+.-])(?P<scheme>[a-z0-9+.-]{2,32}:/{1,2})(?:[^/\s]*@|[^/\s:]*:(?!\d+/)\S*@)",
    re.IGNORECASE,
)
_NAMES = r"pass(?:word|wd|wort|phrase)|pwd|secret|token|claim|api_?key|credentials?"
SECRET_NAME = re.compile(rf"(?:{_NAMES})(?!_?file)", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?P<name>{_NAMES}|(?<![a-z])p(?:ass|w))(?P<sign>=|%3d)(?P<value>[^&\s;,\"'<>]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(?P<scheme>\bauthorization['\"]?\s*[:=]\s*['\"]?\w+|\bbearer)\s+[\w.~+/=-]{8,}",
    re.IGNORECASE,
)


class KnownSecrets:
    """Values that must not be read anywhere, in every form in which they are written.

    Safe to share between threads. The newest `MOST_KNOWN` forms are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """From now on `scrub` takes it out. Blank ones and those under `SHORTEST` are let be."""
        with self._lock:
            new = [form for form in _forms(secret) if form not in self._forms]
            if not new:
                return
            self._forms.update(dict.fromkeys(new))
            while len(self._forms) > MOST_KNOWN:
                del self._forms[next(iter(self._forms))]
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_sought, longest_first)))

    def forget(self) -> None:
        """All of them; for tests, which share a process and not their secrets."""
        with self._lock:
            self._forms.clear()
            self._pattern = None

    def scrub(self, text: str) -> str:
        """The text with `***` for each known secret."""
        pattern = self._pattern
        return pattern.sub("***", text) if pattern is not None else text


KNOWN = KnownSecrets()
"""This process's: typed secrets enter their values where they are read."""


def redact(text: str) -> str:
    """The text without known secrets, users and passwords in URLs, and named passwords."""
    text = KNOWN.scrub(text)
    text = _CREDENTIALS.sub(r"\g<scheme>***@", text)
    text = _NAMED.sub(r"\g<name>\g<sign>***", text)
    return _AUTHORIZATION.sub(r"\g<scheme> ***", text)


def _forms(secret: str) -> set[str]:
    plain = {secret, secret.strip(), unquote(secret)}
    written = {form for one in plain for form in (one, quote(one, safe=""), quote_plus(one))}
    escaped = {repr(form)[1:-1] for form in written}
    return {form for form in written | escaped if len(form.strip()) >= SHORTEST}


def _sought(form: str) -> str:
    plain = re.escape(form)
    return plain if len(form) >= DISTINCT else rf"(?<![^\W_]){plain}(?![^\W_])"
