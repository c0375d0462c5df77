"""Years of a daily series, as `series_chunks` keeps them, read into arrays."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.calculations.types import DayArray, FloatArray, PriceHistory, Valuations
from common.stores.series_chunks import Chunk, day_before


def valuations(chunks: Iterable[Chunk]) -> Valuations:
    """Return the days and values of chunks in order of their years."""
    days, values, _ = _columns(chunks)
    return Valuations.from_arrays(days, values)


def price_history(chunks: Iterable[Chunk]) -> PriceHistory:
    """Return the days, prices, dividends and splits of chunks in order of their years."""
    days, prices, years = _columns(chunks)
    dividends, splits = np.zeros(days.size), np.ones(days.size)
    first = 0
    for year in years:
        for name, column in (("dividends", dividends), ("splits", splits)):
            for place, number in year.get(name, ()):
                column[first + place] = number
        first += len(year["values"])
    return PriceHistory(days, prices, dividends, splits)


def _columns(chunks: Iterable[Chunk]) -> tuple[DayArray, FloatArray, Sequence[Mapping[str, Any]]]:
    """Return the days and values of all chunks, and the chunks as JSON."""
    years: list[dict[str, Any]] = []
    days: list[DayArray] = []
    values: list[float] = []
    for chunk in chunks:
        columns = json.loads(zlib.decompress(chunk.data))
        years.append(columns)
        days.append(np.cumsum(np.asarray(columns["gaps"], dtype=np.int64)) + day_before(chunk.year))
        values += columns["values"]
    return np.concatenate([np.empty(0, dtype=np.int64), *days]), np.asarray(values, dtype=np.float64), years
