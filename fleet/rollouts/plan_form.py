"""A plan from the few fields of a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

from fleet.rollouts.plan import RolloutPlan, with_canary
from shared.errors import SettingsError
from shared.releases import ReleaseFacts

Published = Callable[[], Sequence[ReleaseFacts]]
"""The releases that can be rolled out."""
FIELDS = ("canary", "approval", "soak_min", "at_once")
APPROVALS = {
    "none": "no ring waits for a person",
    "last": "the last ring waits for a person",
    "each": "each ring waits for a person",
}
MOST_SOAK_MIN = 30 * 24 * 60


def plan_of(fields: Mapping[str, str]) -> RolloutPlan:
    """The usual plan, as the form changes it. Raises SettingsError that names the field.

    canary     a glob of SITE/LINE/DEVICE for the first ring; empty: one device
    approval   one of APPROVALS
    soak_min   minutes that each ring but the last is watched
    at_once    per cent of all devices that may change at a time
    """
    approval = fields.get("approval") or "none"
    if approval not in APPROVALS:
        raise SettingsError(
            f"approval: {approval[:40]!r} is not one of {', '.join(APPROVALS)}", fix="choose one"
        )
    soak_s = 60 * _number(fields, "soak_min", 10, 0, MOST_SOAK_MIN)
    at_once = _number(fields, "at_once", 100, 0.1, 100) / 100
    plan = RolloutPlan()
    last = len(plan.rings) - 1
    rings = [
        ring.model_copy(
            update={
                "soak_s": 0.0 if number == last else soak_s,
                "approval": approval == "each" or (approval == "last" and number == last),
            }
        )
        for number, ring in enumerate(plan.rings)
    ]
    plan = plan.model_copy(update={"rings": tuple(rings), "at_once": at_once})
    canary = fields.get("canary", "").strip()
    made = with_canary(plan, canary) if canary else plan
    try:
        return RolloutPlan.model_validate(made.model_dump())
    except ValidationError as error:
        raise SettingsError(error.errors()[0]["msg"], fix="change the form") from error


def _number(
    fields: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = fields.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise SettingsError(
            f"{name}: {text[:40]!r} is no number from {least:g} to {most:g}", fix="change it"
        )
    return value
