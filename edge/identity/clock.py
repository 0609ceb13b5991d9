"""Whether this box's clock can be right, by what it holds, and TLS where it can't."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509

# X509_V_FLAG_NO_CHECK_TIME
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No clock that is right is before the day on which this was written, UTC seconds."""


def earliest(certificates: Iterable[x509.Certificate]) -> float:
    """The UTC before which it can't be: all of these were made already.

    A clock is behind where it says less. That it is ahead can't be told by this.
    """
    begins = (found.not_valid_before_utc.timestamp() for found in certificates)
    return max([BUILT, *begins])


def check_times(context: ssl.SSLContext, *, checked: bool) -> None:
    """Whether connections of this context look at when certificates begin and end.

    A box whose battery is flat wakes in 1970, where no certificate has begun. It still checks
    who signed what and for which name: what it gives up is to refuse one that has expired.
    """
    flags = context.verify_flags
    context.verify_flags = flags & ~NO_CHECK_TIME if checked else flags | NO_CHECK_TIME
