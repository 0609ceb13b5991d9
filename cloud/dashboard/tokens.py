"""What programs may do, in whose name: for admins."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cloud.accounts.access import Access
from cloud.dashboard.form import Fields, obey
from cloud.web.pages import RecordsContext
from shared.errors import AccountError, SplitsightError
from shared.web.access import TOKEN_SCOPES, Caller, TokenScope
from shared.web.roles import OWN_ENTRY, needs

PATH = "/tokens"
LONGEST_PURPOSE = 100
MOST_DAYS = 3650.0
FOR: dict[TokenScope, str] = {
    "read": "everything that its owner may see",
    "label": "labels of parts",
    "release": "decisions on candidates",
    "rollout": "rollouts and settings of boxes",
    "identity": "claims and revocation of boxes",
    "admin": "accounts, tokens, the audit log",
}


def add_tokens(routes: APIRouter, access: Access, context: RecordsContext) -> None:
    """The page of all tokens, below that of people."""
    render, tokens, accounts = context.render, access.tokens, access.accounts

    def page(
        fields: Fields, error: SplitsightError | None = None, made: str = "", owner: str = ""
    ) -> Response:
        return render(
            "tokens.html",
            409 if error else 200,
            tokens=tokens.all(),
            owners=[one.name for one in accounts.all() if not one.disabled],
            scopes=FOR,
            fields=fields,
            error=error,
            made=made,
            owner=owner,
            now=context.clock.utc(),
        )

    def act(fields: Fields, by: Caller) -> Response | None:
        match fields.get("do", ""):
            case "add":
                owner = fields.get("owner", "")
                purpose = fields.get("purpose", "").strip()[:LONGEST_PURPOSE]
                if not purpose:
                    raise AccountError("the token is for nothing", fix="say which program has it")
                wanted = [scope for scope in TOKEN_SCOPES if fields.get(f"scope-{scope}")]
                days = _days(fields.get("days", ""))
                return page({}, None, tokens.add(owner, purpose, wanted, by, days=days), owner)
            case "end":
                tokens.revoke(fields.get("token", ""), by)
                return None
            case _:
                raise AccountError("the form says nothing to do", fix="use the page's buttons")

    def again(error: SplitsightError, fields: Fields) -> Response:
        return page(fields, error)

    @routes.get(PATH)
    def shown() -> Response:
        return page({})

    @routes.post(PATH, dependencies=[needs("admin", "admin", OWN_ENTRY)])
    async def change(request: Request) -> Response:
        return await obey(request, act, again, f"/people{PATH}")


def _days(text: str) -> float | None:
    """None: for ever. Raises AccountError for what is no number of days."""
    if not text.strip():
        return None
    try:
        days = float(text)
    except ValueError:
        days = float("nan")
    if not 0 < days <= MOST_DAYS:
        raise AccountError(
            f"{text[:40]!r} is no number of days", fix=f"take 1 to {MOST_DAYS:.0f}, or none: ever"
        )
    return days
