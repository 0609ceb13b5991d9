"""Rows that go past SQLAlchemy's own execution are stored as by it."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)

from cloud.records.database import Database
from shared.storage.batches import execute_rows

KEPT = Table(
    "kept_for_a_test",
    MetaData(),
    Column("name", String(20), primary_key=True),
    Column("count", Integer(), nullable=False),
    Column("share", Float()),
    Column("fields", JSON()),
)
ROWS = [
    {"name": "Grüße'; --", "count": 2**31 - 1, "share": 0.1, "fields": {"a": [1, None, "🙂"]}},
    {"name": "%s :x ?", "count": 0, "share": None, "fields": {}},
]


@pytest.fixture
def database(every_database: Database) -> Database:
    KEPT.create(every_database.engine)
    return every_database


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_stored_is_what_sqlalchemy_stores(database: Database, count: int) -> None:
    statement = insert(KEPT)
    with database.begin() as connection:
        execute_rows(connection, statement, ROWS[:count])
        own = connection.execute(select(KEPT).order_by(KEPT.c.name)).mappings().all()
        connection.execute(KEPT.delete())
        connection.execute(insert(KEPT), ROWS[:count])
        wanted = connection.execute(select(KEPT).order_by(KEPT.c.name)).mappings().all()
    assert own == wanted
    assert len(own) == count


def test_the_order_of_names_and_constants_of_a_statement_are_kept(database: Database) -> None:
    statement = (
        update(KEPT).where(KEPT.c.name == bindparam("of_name")).values(count=KEPT.c.count + 5)
    )
    with database.begin() as connection:
        execute_rows(connection, insert(KEPT), [dict(reversed(row.items())) for row in ROWS[1:]])
        changed = execute_rows(connection, statement, [{"of_name": ROWS[1]["name"]}])
        missed = execute_rows(connection, statement, [{"of_name": "nobody"}])
        assert connection.execute(select(KEPT.c.count)).scalars().all() == [5]
    assert (changed, missed) == (1, 0)


def test_how_many_of_several_rows_were_changed_is_told(database: Database) -> None:
    statement = update(KEPT).where(KEPT.c.name == bindparam("of_name")).values(share=0.5)
    with database.begin() as connection:
        execute_rows(connection, insert(KEPT), ROWS)
        nobody = [{"of_name": "nobody"}, {"of_name": "nothing"}]
        assert execute_rows(connection, statement, nobody) == 0
        assert execute_rows(connection, statement, [*nobody, {"of_name": ROWS[0]["name"]}]) != 0
