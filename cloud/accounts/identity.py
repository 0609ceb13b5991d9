"""Who an account is at a provider of sign-ins elsewhere."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, insert, select
from sqlmodel import col

from cloud.accounts.accounts import Accounts
from cloud.accounts.tables import ElsewhereRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccountError
from shared.web.access import Caller, Role


class Identities:
    """Accounts by a provider's own word for their persons. Each call raises RecordsError."""

    def __init__(self, database: Database, accounts: Accounts, clock: Clock) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock

    def adopt(self, issuer: str, subject: str, name: str, role: Role, by: Caller) -> str:
        """The account of somebody who signs in elsewhere, made where there is none yet.

        name   for an account that is made; one that is there keeps its own
        role   what is said there counts here, at each sign-in
        Raises AccountError where the name is another's, where the account was put out, or where
        there would be no admin any more.
        """
        account = self.account_of(issuer, subject)
        if account is None:
            row = {
                "issuer": issuer,
                "subject": subject,
                "account": name,
                "created_at": self._clock.utc(),
            }

            def joined(connection: Connection) -> None:
                connection.execute(insert(ElsewhereRecord).values(row))

            if self._accounts.knows(name):
                # Else whoever may choose their name elsewhere could become anybody here.
                raise AccountError(
                    f"the name {name} is another account's here",
                    fix="ask an admin: the provider must send another name for you",
                )
            self._accounts.invite(name, role, replace(by, name=name), joined)
            return name
        found = self._accounts.get(account)
        if found.disabled:
            raise AccountError(f"{account} was put out", fix="ask an admin to let you in again")
        if found.role != role:
            self._accounts.set_role(account, role, replace(by, name=account))
        return account

    def account_of(self, issuer: str, subject: str) -> str | None:
        """The account of somebody there; None where there is none."""
        one = (col(ElsewhereRecord.issuer) == issuer, col(ElsewhereRecord.subject) == subject)
        with self._database.begin() as connection:
            return connection.execute(
                select(col(ElsewhereRecord.account)).where(*one)
            ).scalar_one_or_none()

    def of(self, account: str) -> list[str]:
        """The issuers at which an account is known."""
        query = select(col(ElsewhereRecord.issuer)).where(col(ElsewhereRecord.account) == account)
        with self._database.begin() as connection:
            return sorted(connection.execute(query).scalars())
