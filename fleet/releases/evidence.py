"""What a model can show for itself before it goes out, and who says so where it can't."""

from __future__ import annotations

from shared.bundles.bundle import Bundle
from shared.errors import ReleaseError

LONGEST_NAME = 100
LONGEST_REASON = 500


def lacking(bundle: Bundle, *, certified: bool) -> list[str]:
    """What is missing, as the end of a sentence that begins with the model's name."""
    found = []
    if not certified:
        found.append("has no certificate")
    if bundle.manifest.leakage is None:
        found.append("was never measured for what its features give away")
    return found


def how_to_show(bundle: Bundle) -> str:
    """What to do about it, beside giving a reason."""
    return (
        f"`splitsight cloud leakage --bundle {bundle.path} --data DATA` measures what its features "
        "give away"
    )


def require_word(bundle: Bundle, by: str, why: str) -> None:
    """A named person's reason stands in for a certificate or a measurement.

    Raises ReleaseError where one of them is missing, and so is the name or the reason.
    """
    missing = lacking(bundle, certified=bundle.manifest.certificate is not None)
    if missing and not (by.strip() and why.strip()):
        raise ReleaseError(
            f"{bundle.manifest.name} {bundle.manifest.version} {' and '.join(missing)}",
            fix=f"{how_to_show(bundle)}, `splitsight cloud certify` certifies; or say with "
            "--approved-by WHO and --why WHY why it goes out without, which is kept",
        )


def require_short(what: str, said: str, most: int) -> None:
    """Raises ReleaseError for what a person said at greater length than is kept.

    most   characters
    """
    if len(said) > most:
        raise ReleaseError(
            f"{what} has {len(said)} characters, and at most {most} are kept",
            fix=f"say it in {most}",
        )
