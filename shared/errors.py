"""Every error that a user can meet, and the exit code that each kind maps to.

An error says what came, what was wanted and, in `fix`, what to do about it.
"""

from __future__ import annotations

from typing import ClassVar

from shared.redaction import redact


class SplitsightError(Exception):
    """The root of the family. `summary` is the table's line for its exit code."""

    exit_code: ClassVar[int] = 1
    summary: ClassVar[str] = "something unexpected went wrong"

    def __init__(self, message: str, *, fix: str = "", missing: bool = False) -> None:
        """missing: what was asked for by its name is not there"""
        # Texts of libraries end up in here, and from here in logs, pages and retained states.
        self.message = redact(message)
        super().__init__(self.message)
        self.fix = fix
        self.missing = missing

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


def said(error: BaseException) -> str:
    """What a person reads of any error: one of ours speaks for itself, another's has a kind."""
    return str(error) if isinstance(error, SplitsightError) else f"{type(error).__name__}: {error}"


class SettingsError(SplitsightError):
    """A configuration or an option says something that can't be done."""

    exit_code = 10
    summary = "a setting is wrong or missing"


class MissingExtra(SplitsightError):
    """A part of splitsight needs packages that are not installed."""

    exit_code = 11
    summary = "an optional part is not installed"

    def __init__(self, extra: str, cause: ImportError) -> None:
        self.extra = extra
        what = cause.name or str(cause)
        super().__init__(
            f"this needs the extra `{extra}` ({what} is not installed)",
            fix=f"pip install 'splitsight[{extra}]'",
        )


class BundleError(SplitsightError):
    """A bundle can't be read or does not hold together."""

    exit_code = 20
    summary = "a bundle can't be read"


class BundleMismatch(BundleError):
    """A file's content is not what the manifest promises."""

    exit_code = 21
    summary = "a bundle's content is not what its manifest promises"


class ParityError(BundleError):
    """A backend's outputs differ from the bundle's golden outputs by more than it allows."""

    exit_code = 22
    summary = "a backend disagrees with the bundle's golden outputs"


class RuntimeUnavailable(SplitsightError):
    """No inference backend can run the model here."""

    exit_code = 25
    summary = "no inference backend can run the model"


class CameraError(SplitsightError):
    """A camera, or the picture that it gave, can't be read."""

    exit_code = 30
    summary = "a camera or its picture can't be read"


class ActuatorError(SplitsightError):
    """The actuator did not confirm; the verdict is already recorded."""

    exit_code = 32
    summary = "an actuator did not confirm"


class JournalError(SplitsightError):
    """The box's journal can't be written or read."""

    exit_code = 35
    summary = "the journal can't be written"


class AgentFailed(SplitsightError):
    """A thread of the agent, without which parts get no verdicts, has ended or stands still."""

    exit_code = 36
    summary = "a thread of the agent has ended or stands still"

    def __init__(self, message: str) -> None:
        super().__init__(
            message, fix="start it again, as systemd does; the log says what came first"
        )


class TransportError(SplitsightError):
    """The broker can't be reached or refused us."""

    exit_code = 40
    summary = "the broker can't be reached or refuses"


class WireError(SplitsightError):
    """A payload is not a message of ours, or not of a version that we read."""

    exit_code = 41
    summary = "a payload is not a message that we read"


class CodecError(WireError):
    """Feature bytes can't be decoded with this bundle's tables."""

    exit_code = 42
    summary = "feature bytes don't fit the bundle's tables"


class RecordsError(SplitsightError):
    """The cloud's database can't be reached, migrated or written."""

    exit_code = 45
    summary = "the cloud's database can't be used"


class PictureError(SplitsightError):
    """A picture that was asked for can't be shown now.

    status   of the HTTP answer that says so
    """

    exit_code = 38
    summary = "a picture can't be shown"
    status: ClassVar[int] = 409


class AccountError(SplitsightError):
    """An account, a password, a token or a sign-in can't be what was asked."""

    exit_code = 46
    summary = "an account, a password or a token is refused"


class AccessRefused(AccountError):
    """Who calls may not do this."""

    exit_code = 47
    summary = "who calls may not do this"


class TooManyGuesses(AccountError):
    """So many wrong passwords or tokens came that this one is not looked at."""

    exit_code = 48
    summary = "too many wrong passwords or tokens came before"

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(1, round(wait_s))
        super().__init__(
            "too many wrong passwords or tokens came before",
            fix=f"wait {self.wait_s} s and try again",
        )


class DataError(SplitsightError):
    """A data set can't be read as described."""

    exit_code = 50
    summary = "a data set can't be read"


class TrainingError(SplitsightError):
    """Training can't start, go on or end in a usable bundle."""

    exit_code = 51
    summary = "training can't end in a usable bundle"


class ExperimentError(SplitsightError):
    """The store that trainings are recorded in can't be reached, read or written."""

    exit_code = 54
    summary = "the store of recorded trainings can't be used"


class CertificateError(SplitsightError):
    """A certificate can't be given for this bundle with these parts."""

    exit_code = 52
    summary = "a certificate can't be given with these parts"


class TooFewParts(CertificateError):
    """So few parts can't show what was to be promised."""

    exit_code = 53
    summary = "too few parts for the certificate that was asked for"


class IdentityError(SplitsightError):
    """A device's identity can't be made, proven or renewed."""

    exit_code = 70
    summary = "an identity can't be made, proven or renewed"


class ClaimRefused(IdentityError):
    """A claim token is unknown, expired, or was used before."""

    exit_code = 71
    summary = "a claim token is refused"


class ReleaseError(SplitsightError):
    """A release can't be made, signed or trusted."""

    exit_code = 75
    summary = "a release can't be made, signed or trusted"


class UpdateError(SplitsightError):
    """A device can't go on with an update; it keeps what it runs."""

    exit_code = 76
    summary = "an update can't go on"


class RolloutError(SplitsightError):
    """A rollout can't be started, or changed in the way that was asked."""

    exit_code = 77
    summary = "a rollout can't be started or changed"


class FederationError(SplitsightError):
    """A round can't be started, or can't end in something that may be used."""

    exit_code = 90
    summary = "a federated round can't be started or ended"


class ImageError(SplitsightError):
    """A disk image can't be built, read or trusted."""

    exit_code = 80
    summary = "a disk image can't be built, read or trusted"


class FlashError(SplitsightError):
    """Writing a card failed; the message says what state it is in."""

    exit_code = 81
    summary = "a card could not be written"


class DeviceRefused(FlashError):
    """This disk must not be written: it is in use, of the wrong size, or not a disk."""

    exit_code = 82
    summary = "a disk that must not be written"


class AlertRefused(SplitsightError):
    """An alert is not there, or not in a state for what was asked."""

    exit_code = 62
    summary = "an alert can't be changed like that"


class NoticeUndelivered(SplitsightError):
    """Whoever should be told of an alert could not be."""

    exit_code = 63
    summary = "a notice of an alert could not be delivered"


class ProcessError(SplitsightError):
    """A process that we started died or never became ready."""

    exit_code = 60
    summary = "a process that was started died"


class CheckFailed(SplitsightError):
    """A check ran to its end and found something wrong."""

    exit_code = 61
    summary = "a check ran and found something wrong"


USAGE_EXIT = 2
RESTART_EXIT = 83
STOPPED_EXIT = 130


def exit_codes() -> dict[int, str]:
    """Every exit code with its meaning: the one table, from which the docs are generated."""
    table = {0: "all well", USAGE_EXIT: "the command line can't be understood"}
    table[RESTART_EXIT] = "stopped by itself to be started again: an update waits"
    table[STOPPED_EXIT] = "stopped by Ctrl-C before it was done"
    pending: list[type[SplitsightError]] = [SplitsightError]
    while pending:
        kind = pending.pop()
        table[kind.exit_code] = kind.summary
        pending.extend(kind.__subclasses__())
    return dict(sorted(table.items()))
