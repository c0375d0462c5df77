"""Portfolios to make pages of, and a parser that reads a page as a browser would."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from common.models.books import BookEntityType, DayValue, Entity, SeriesKind
from common.models.results import Run
from common.stores.memory_books import InMemoryBooks

FIRST = date(2020, 1, 1)
RUN = Run(request_id="r", execution_name="e", started_at=datetime(2024, 1, 2, tzinfo=UTC))
VOID = {"meta", "link", "br", "input", "img", "hr"}


def business_days(count: int) -> list[date]:
    days = (FIRST + timedelta(days=offset) for offset in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def values(count: int, start: float = 1_000.0) -> list[float]:
    """Values that rise in waves, the same every time."""
    return [round(start * (1.0004**index) * (1.0 + 0.02 * ((index * 7919) % 13 - 6) / 6), 2) for index in range(count)]


def request(*names: str, count: int = 600, **more: Any) -> dict[str, Any]:
    """Return a request that brings the data of portfolios, and a benchmark."""
    days = [day.isoformat() for day in business_days(count)]
    return {
        "request_id": "reports",
        "risk_free_rate": 0.02,
        "benchmark": {"benchmark_id": "INDEX", "valuations": {"dates": days, "values": values(count, 3_000.0)[::-1]}},
        "portfolios": [
            {
                "portfolio_id": name,
                "currency": "EUR",
                "valuations": {"dates": days, "values": values(count, 1_000.0 + 10.0 * index)},
                "cash_flows": {"dates": [days[20], days[30]], "amounts": [50.0, -20.0]},
            }
            for index, name in enumerate(names)
        ],
        **more,
    }


def books_with(name: str, count: int = 600) -> InMemoryBooks:
    """Return books of one portfolio that is given valuations, with its benchmark."""
    books = InMemoryBooks()
    books.put_entity(Entity(entity_type=BookEntityType.BENCHMARK, entity_id="INDEX"))
    books.put_entity(
        Entity(
            entity_type=BookEntityType.PORTFOLIO,
            entity_id=name,
            client_id="acme",
            currency="EUR",
            benchmark_id="INDEX",
        )
    )
    days = business_days(count)
    for kind, entity_id, numbers in (
        (SeriesKind.VALUATION, name, values(count)),
        (SeriesKind.LEVEL, "INDEX", values(count, 3_000.0)),
    ):
        books.write_series(
            kind, entity_id, [DayValue(day, Decimal(str(each))) for day, each in zip(days, numbers, strict=True)]
        )
    return books


class Parsed(HTMLParser):
    """A page taken apart: its elements with their attributes, and its text by the element it stands in."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._open[-1] != "p":
            raise AssertionError("a paragraph was closed by something within it")
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of each element of a kind that has these among them; `class_` is the class."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.elements
            if name == tag
            and all(
                value in found.get(key, "").split() if key == "class" else found.get(key) == value
                for key, value in wanted.items()
            )
        ]

    def attributes(self) -> Iterator[tuple[str, str, str]]:
        """Yield element, attribute and value of every attribute."""
        for tag, found in self.elements:
            for name, value in found.items():
                yield tag, name, value

    def text(self) -> str:
        """Return what can be read, without scripts and styles."""
        return " ".join(data for tag, data in self.texts if tag not in {"script", "style"})

    def specs(self) -> list[dict[str, Any]]:
        """Return the specifications of the charts."""
        parsed = []
        for index, (tag, data) in enumerate(self.texts):
            if tag == "script" and data.startswith("{") and '"datasets"' in data:
                parsed.append(json.loads(self.texts[index][1]))
        return parsed
