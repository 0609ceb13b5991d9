"""What inspectors said, one by one, and what makes their work. Times are UTC seconds since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, text
from sqlmodel import Field, SQLModel

BLIND = text("blind AND undone_at IS NULL")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")


class LabelEntry(SQLModel, table=True):
    """One label, as it was said. It is never changed; taken back, it says when and by whom.

    number   counts up; of one part the later label has the higher one
    kind     of defect, None where it is good or not known
    why      in the inspector's words; empty: they gave none
    drawing  where the defect is, see `cloud.labels.drawing`
    blind    its inspector was not shown what others had said before
    """

    __tablename__ = "label_history"
    __table_args__ = (
        Index("ix_label_history_part", "device", "boot", "sequence"),
        Index("ix_label_history_kind", "site", "line", "kind"),
        Index("ix_label_history_blind", "number", sqlite_where=BLIND, postgresql_where=BLIND),
    )

    number: int | None = Field(default=None, primary_key=True, sa_type=NUMBER)
    device: str = Field(max_length=63)
    boot: str = Field(max_length=64)
    sequence: int = Field(sa_type=BigInteger)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    verdict: str = Field(max_length=16)
    kind: str | None = Field(default=None, max_length=63)
    inspector: str = Field(max_length=63)
    said_at: float
    why: str = Field(default="", max_length=500)
    drawing: bytes | None = Field(default=None, sa_type=LargeBinary)
    blind: bool = False
    undone_at: float | None = None
    undone_by: str | None = Field(default=None, max_length=63)


class WithdrawnLabel(SQLModel, table=True):
    """A label that was taken back, with nothing in its place: its device is to forget it.

    delivered_at  when the device said that it has, None while it has not
    """

    __tablename__ = "withdrawn_labels"

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    withdrawn_at: float
    delivered_at: float | None = Field(default=None, index=True)


class SecondLook(SQLModel, table=True):
    """A labelled part that another inspector should look at, who is not told the label.

    reason  `split`, `disputed` or `second`; see `cloud.labels.queue`
    worth   within the reason, the greatest first
    """

    __tablename__ = "second_looks"
    __table_args__ = (Index("ix_second_looks_worth", "reason", "worth"),)

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    reason: str = Field(max_length=16)
    worth: float


class ReviewLease(SQLModel, table=True):
    """A part that somebody has before them, so that nobody else is given it.

    reason  why it was given out
    """

    __tablename__ = "review_leases"

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    holder: str = Field(max_length=63)
    until: float = Field(index=True)
    reason: str = Field(max_length=16)


class DefectKindRecord(SQLModel, table=True):
    """A kind of defect that inspectors of a line may name.

    place  of its key, 1 to 9, and those after it, which have none
    """

    __tablename__ = "defect_kinds"

    site: str = Field(primary_key=True, max_length=63)
    line: str = Field(primary_key=True, max_length=63)
    place: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = Field(max_length=63)
