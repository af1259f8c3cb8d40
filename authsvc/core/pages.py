"""Pages of lists: what somebody asks of one, brought within bounds, and the rows that the database has there.

What a page is asked for comes out of an address, so nothing here is an error: what cannot be is brought to what can.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")
DEFAULT_SIZE, MAX_SIZE = 50, 200
MAX_TEXT = 255
_BEYOND = "\U0010ffff"
"""A character that no other comes after, in all collations."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks of a list.

    Args:
        text: what a name must have in it; "" for all.
        sort: what to sort by, with `-` in front for the other way round; anything else means the list's own order.
        page: counted from 1.
        size: rows on a page.
    """

    text: str = ""
    sort: str = ""
    page: int = 1
    size: int = DEFAULT_SIZE


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list, and where they stand in it.

    Args:
        total: the rows on all pages.
        page: which one this is, counted from 1.
        pages: how many there are, 1 at least.
    """

    rows: Sequence[T]
    total: int
    page: int
    pages: int


Sorts = Mapping[str, tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...]]
"""The columns of each order that a list can be had in; together they tell all rows apart."""


def read(  # noqa: PLR0913, PLR0917 (the last two are named)
    session: Session,
    wanted: Select[Any],
    key: InstrumentedAttribute[int],
    asked: Asked,
    sorts: Sorts,
    show: Callable[[Any], T],
    own: str = "name",
    search: ColumnElement[bool] | None = None,
) -> Page[T]:
    """A page of what a statement finds, in one of the orders that there are.

    Which rows are on it is asked first, and then what they hold: an index answers the one, and few rows the other.

    Args:
        wanted: without order, grouping or limit.
        key: tells its rows apart.
        show: makes of a row what the page has.
        own: the order for whoever asks for none that there is.
        search: what else the rows must fit, where that costs much: it is not asked again of those that were found.
    """
    fitting = wanted if search is None else wanted.where(search)
    total = session.scalar(fitting.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    empty: Page[T] = _place(asked, total)
    size, order = _size(asked), _order(asked.sort, sorts, own)
    keys = fitting.with_only_columns(key, maintain_column_froms=True).order_by(*order)
    here = session.scalars(keys.limit(size).offset((empty.page - 1) * size)).all()
    rows = session.execute(wanted.where(key.in_(here)).order_by(*order)) if here else ()
    return replace(empty, rows=[show(row) for row in rows])


def cut(rows: Sequence[T], asked: Asked) -> Page[T]:
    """A page of rows that are here already."""
    empty: Page[T] = _place(asked, len(rows))
    start = (empty.page - 1) * _size(asked)
    return replace(empty, rows=rows[start : start + _size(asked)])


def contains(column: InstrumentedAttribute[str], text: str, *, any_case: bool = False) -> ColumnElement[bool]:
    """Whether a name has a text in it, in which no character has a meaning of its own, as in LIKE.

    Args:
        any_case: whether names have capitals, which do not count then (on SQLite, those of ASCII).
    """
    if any_case:
        return func.instr(func.lower(column), func.lower(text[:MAX_TEXT])) > 0
    return func.instr(column, text[:MAX_TEXT].lower()) > 0


def begins(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Whether a name begins with a text, letter by letter: asked so that an index answers on both databases."""
    return and_(column >= text, column < text + _BEYOND)


def _place(asked: Asked, total: int) -> Page[Any]:
    pages = max(1, -(-total // _size(asked)))
    return Page((), total, min(max(1, asked.page), pages), pages)


def _size(asked: Asked) -> int:
    return min(max(1, asked.size), MAX_SIZE)


def _order(sort: str, sorts: Sorts, own: str) -> list[Any]:
    by = sort if sort.removeprefix("-") in sorts else own
    columns = sorts[by.removeprefix("-")]
    return [column.desc() for column in columns] if by.startswith("-") else list(columns)
