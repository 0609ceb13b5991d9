"""Filters that somebody has given a name, to come back to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select

from cloud.records.database import Database
from cloud.records.store import insert_into
from cloud.records.tables import SAVED_VIEWS
from shared.errors import SettingsError

MOST = 50
LONGEST_NAME, LONGEST_QUERY = 63, 2000


@dataclass(frozen=True, slots=True)
class SavedView:
    """A filter with a name; `query` is what stands behind the ? of the page's address."""

    name: str
    query: str


class SavedViews:
    """Of each account its own. Safe to share between threads; methods raise RecordsError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, account: str, page: str) -> list[SavedView]:
        """By name."""
        table = SAVED_VIEWS.c
        query = select(table.name, table.query).where(table.account == account, table.page == page)
        with self._database.begin() as connection:
            rows = connection.execute(query.order_by(table.name)).all()
        return [SavedView(name, said) for name, said in rows]

    def save(self, account: str, page: str, view: SavedView) -> None:
        """In place of one of the same name. Raises SettingsError for one that can't be kept."""
        name = view.name.strip().replace("\\0", "")
        if not name or len(name) > LONGEST_NAME or len(view.query) > LONGEST_QUERY:
            raise SettingsError(
                f"a view called {view.name[:80]!r} with {len(view.query)} characters of filter",
                fix=f"give it a name of 1 to {LONGEST_NAME} characters, and less to filter by",
            )
        own = self.all(account, page)
        if len(own) >= MOST and name not in {one.name for one in own}:
            raise SettingsError(
                f"there are {MOST} views already", fix="delete one that is not used"
            )
        row = {"account": account, "page": page, "name": name, "query": view.query}
        with self._database.begin() as connection:
            insert = insert_into(connection)(SAVED_VIEWS).values(row)
            keys = ["account", "page", "name"]
            connection.execute(
                insert.on_conflict_do_update(index_elements=keys, set_={"query": view.query})
            )

    def delete(self, account: str, page: str, name: str) -> None:
        """Nothing where there is none."""
        table = SAVED_VIEWS.c
        own = (table.account == account, table.page == page, table.name == name)
        with self._database.begin() as connection:
            connection.execute(delete(SAVED_VIEWS).where(*own))
