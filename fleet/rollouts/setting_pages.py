"""A device's settings by page: what would change is shown before anything is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleet.rollouts.controller import RolloutController
from fleet.rollouts.requests import MOST_SETTINGS, Value, parse_settings
from shared.errors import SettingsError, SplitsightError
from shared.plugins.pages import PageContext
from shared.web.access import Visit, visit_of
from shared.web.forms import MAX_FORM, form_fields
from shared.web.roles import OWN_ENTRY, needs

Name = Annotated[str, Path(max_length=63)]
OWN = "as in its own file"


class SettingPages:
    """Lines of `key=value` that a device runs with instead of those in its own file."""

    def __init__(self, conductor: RolloutController, context: PageContext) -> None:
        self._conductor = conductor
        self._render = context.render

    def add_to(self, routes: APIRouter) -> None:
        path = "/devices/{site}/{line}/{device}/settings"
        routes.get(path, dependencies=[needs("engineer", "rollout")])(self.form)
        changes = [needs("engineer", "rollout", OWN_ENTRY)]
        routes.post(path, dependencies=changes)(self.change)

    def form(self, site: Name, line: Name, device: Name) -> Response:
        return self._form(f"{site}/{line}/{device}")

    async def change(self, request: Request, site: Name, line: Name, device: Name) -> Response:
        name = f"{site}/{line}/{device}"
        fields = await form_fields(request)
        try:
            answer = await run_in_threadpool(self._change, name, fields, visit_of(request))
        except SplitsightError as error:
            told = fields.get("settings", "")
            return await run_in_threadpool(self._form, name, told, error)
        return answer or RedirectResponse(f"/fleet/devices/{name}", status_code=303)

    def _change(self, name: str, fields: dict[str, str], visit: Visit) -> Response | None:
        """None where it is done; else what would change."""
        if "settings" not in fields and "sent" not in fields:
            raise SettingsError(
                f"the form says nothing, or is longer than {MAX_FORM} bytes",
                fix="set fewer, or shorter ones",
            )
        text = fields.get("settings", "")
        wanted = parse_settings(line.strip() for line in text.splitlines() if line.strip())
        if len(wanted) > MOST_SETTINGS:
            raise SettingsError(f"{len(wanted)} settings, {MOST_SETTINGS} at most", fix="drop some")
        shadow, _ = self._conductor.shadow(name)
        before = dict((shadow.desired.settings if shadow.desired else None) or {})
        changes = differences(before, wanted)
        if not changes:
            raise SettingsError("nothing would change", fix="change a line, or leave it as it is")
        if fields.get("serial") != str(shadow.serial):
            # Also where somebody else has changed the box since this was looked at.
            return self._render(
                "settings_question.html",
                device=shadow.address,
                changes=changes,
                text=text,
                serial=shadow.serial,
                changed=bool(fields.get("serial")),
            )
        by = self._conductor.signed(visit.caller, fields.get("by", "")[:63])
        visit.asked = visit.caller.did("device settings", name, dict(before), dict(wanted), by)
        visit.trail.record(visit.asked)
        self._conductor.configure(name, wanted, by)
        return None

    def _form(
        self, name: str, text: str | None = None, error: SplitsightError | None = None
    ) -> Response:
        try:
            shadow, _ = self._conductor.shadow(name)
        except SettingsError as missing:
            return self._render(
                "settings_form.html", 404, device=None, text="", error=missing, name=name
            )
        if text is None:
            now = (shadow.desired.settings if shadow.desired else None) or {}
            text = "\n".join(f"{key}={_shown(value)}" for key, value in sorted(now.items()))
        status = 422 if error else 200
        return self._render(
            "settings_form.html", status, device=shadow.address, text=text, error=error, name=name
        )


def differences(
    before: Mapping[str, Value], after: Mapping[str, Value]
) -> list[tuple[str, str, str]]:
    """Each setting that would change: key, what it is now, what it would be."""
    return [
        (
            key,
            _shown(before[key]) if key in before else OWN,
            _shown(after[key]) if key in after else OWN,
        )
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _shown(value: Value) -> str:
    """As it is typed: YAML's own words for what is true or false."""
    return str(value).lower() if isinstance(value, bool) else str(value)
