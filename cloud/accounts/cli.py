"""`splitsight cloud account|token|audit`: on the cloud's machine, with its configuration.

They work on the database itself, so that nobody who may read that file is ever locked out.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared import command_options as option
from shared.console import out, print_json, print_table, print_text
from shared.errors import CheckFailed
from shared.format import date
from shared.web.access import TOKEN_SCOPES, Caller, Role

if TYPE_CHECKING:
    from cloud.accounts.access import Access

account = option.group("Who may sign in, and what they may do.")
token = option.group("What programs may do, in whose name.")
audit = option.group("Who did what: read it, and check that nothing was changed since.")

NameArgument = Annotated[str, typer.Argument(help="Of the account, as `list` prints it.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the account may do.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="So many, the newest.")]


@account.command()
def add(name: NameArgument, role: RoleOption, config: option.Config) -> None:
    """Local: make an account. Its password is asked for, or is the first line of standard input."""
    with _opened(config) as access:
        access.accounts.add(name, role, _password(), _me())
    print_text(f"{name} can sign in as {role}")


@account.command("list")
def list_(config: option.Config, format_: option.Format = "text") -> None:
    """Local: list accounts, those that were put out too."""
    with _opened(config) as access:
        found = access.accounts.all()
    rows = [
        {
            "name": one.name,
            "role": one.role,
            "state": "disabled" if one.disabled else "enabled",
            "made": date(one.created_at),
            "signed_in": date(one.signed_in_at) if one.signed_in_at else "never",
        }
        for one in found
    ]
    _show("accounts", [one.model_dump() for one in found], rows, format_)


@account.command()
def role(
    name: NameArgument,
    role: Annotated[Role, typer.Argument(help="What the account may do from now on.")],
    config: option.Config,
) -> None:
    """Local: give an account another role; it counts from its next request on."""
    with _opened(config) as access:
        access.accounts.set_role(name, role, _me())
    print_text(f"{name} is {role} now")


@account.command()
def password(name: NameArgument, config: option.Config) -> None:
    """Local: give an account another password, and end its sessions."""
    with _opened(config) as access:
        access.accounts.set_password(name, _password(), _me())
    print_text(f"{name} has another password, and must sign in again")


@account.command()
def disable(
    name: NameArgument,
    config: option.Config,
    undo: Annotated[bool, typer.Option("--undo", help="Let it in again.")] = False,
) -> None:
    """Local: put an account out: its sessions end, and its tokens are good for nothing."""
    with _opened(config) as access:
        access.accounts.disable(name, _me(), disabled=not undo)
    print_text(f"{name} is let in again" if undo else f"{name} is put out")


@token.command("add")
def add_token(
    owner: Annotated[str, typer.Argument(help="The account in whose name it acts.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help=f"What it is for, again for several; {', '.join(TOKEN_SCOPES)}."
        ),
    ],
    purpose: Annotated[str, typer.Option(help="Which program has it, in words.")],
    config: option.Config,
    days: Annotated[
        float, typer.Option(min=0.01, max=3650, help="How long it is good; then make another.")
    ] = 90.0,
    format_: option.Format = "text",
) -> None:
    """Local: make a token for a program. It is printed this once."""
    with _opened(config) as access:
        made = access.tokens.add(owner, purpose, scope, _me(), days=days)
    if format_ == "json":
        print_json({"token": made})
    else:
        print_text(made)


@token.command("list")
def list_tokens(config: option.Config, format_: option.Format = "text") -> None:
    """Local: list tokens, without what makes them good."""
    with _opened(config) as access:
        found = access.tokens.all()
    rows = [
        {
            "id": one.id,
            "owner": one.owner,
            "purpose": one.purpose,
            "scopes": " ".join(one.scopes),
            "until": "revoked"
            if one.revoked_at
            else date(one.expires_at)
            if one.expires_at
            else "–",
            "used": date(one.used_at) if one.used_at else "never",
        }
        for one in found
    ]
    _show("tokens", [one.model_dump() for one in found], rows, format_)


@token.command()
def revoke(
    id_: Annotated[str, typer.Argument(help="As `list` prints it.")], config: option.Config
) -> None:
    """Local: make a token good for nothing."""
    with _opened(config) as access:
        access.tokens.revoke(id_, _me())
    print_text(f"{id_} is revoked")


@audit.command("list")
def list_entries(
    config: option.Config, limit: LimitOption = 100, format_: option.Format = "text"
) -> None:
    """Local: list who did what, newest first."""
    with _opened(config) as access:
        found = access.audit.newest(limit)
    rows = [
        {
            "number": one.number,
            "at": date(one.at),
            "who": f"{one.who} ({one.means})",
            "from": one.address or "here",
            "what": one.what,
            "subject": one.subject,
        }
        for one in found
    ]
    _show("audit log", [one.model_dump() for one in found], rows, format_)


@audit.command()
def verify(
    config: option.Config,
    expect: Annotated[
        str, typer.Option(help="A head that was noted elsewhere; the log must go on from it.")
    ] = "",
    format_: option.Format = "text",
) -> None:
    """Local: check that no entry of the audit log was changed, removed, swapped or cut off.

    It prints the head. Note that where the cloud's machine can't write: with --expect HEAD a later
    check finds a log that was rewritten from somewhere on, or cut.
    """
    with _opened(config) as access:
        found = access.audit.verify(expect)
    if format_ == "json":
        print_json(
            {
                "entries": found.entries,
                "head": found.head,
                "problem": found.problem or None,
                "at": found.at,
            }
        )
    elif not found.problem:
        print_text(f"{found.entries} entries, none changed; head {found.head}")
    if found.problem:
        raise CheckFailed(
            f"the audit log is not what was written: {found.problem}",
            fix="compare it with a backup of the database; what comes before that entry is whole",
        )


@contextmanager
def _opened(config: Path) -> Iterator[Access]:
    """The cloud's accounts, tokens and audit log."""
    with option.needs_extra("cloud"):
        from cloud.accounts.access import open_access  # noqa: PLC0415
        from cloud.configuration.settings import load_cloud_settings  # noqa: PLC0415
        from cloud.records.database import Database  # noqa: PLC0415
    from shared.clock import SystemClock  # noqa: PLC0415

    database = Database(load_cloud_settings(config).database)
    try:
        database.migrate()
        yield open_access(database, SystemClock())
    finally:
        database.close()


def _me() -> Caller:
    """Who may use the database may do everything; the name is what the machine says."""
    return Caller(getpass.getuser(), "admin", means="command")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _show(
    title: str, full: list[dict[str, Any]], rows: Sequence[Mapping[str, object]], format_: str
) -> None:
    if format_ == "json":
        print_json(full)
    elif rows:
        print_table(title, rows)
    else:
        out.print("none yet", highlight=False)
