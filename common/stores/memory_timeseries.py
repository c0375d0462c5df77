"""A time series that forgets: for tests, with the semantics of the real one."""

from collections.abc import Sequence
from datetime import date
from threading import Lock
from typing import NamedTuple

from common.models.kinds import CalculationMethod, EntityType
from common.models.results import ResultRow, Run
from common.stores.ports import RejectedRecord, TimeSeriesReport
from common.stores.timestream import measurements


class RecordKey(NamedTuple):
    """The dimensions, time and measure of a record."""

    entity_type: EntityType
    entity_id: str
    calculation_method: CalculationMethod
    request_id: str
    time_period: str
    calculation_date: date
    measure: str


class InMemoryTimeSeriesStore:
    """A `TimeSeriesStore` in a dictionary.

    Parameters
    ----------
    first_date
        Records of an earlier day are rejected, as by a table that keeps nothing older.

    Attributes
    ----------
    records : dict
        Version and value of each record.
    """

    def __init__(self, *, first_date: date = date.min) -> None:
        self.records: dict[RecordKey, tuple[int, float]] = {}
        self._first_date = first_date
        self._lock = Lock()

    def write(self, rows: Sequence[ResultRow], run: Run) -> TimeSeriesReport:
        """Write the records of `rows`; those refused are told one by one."""
        written = superseded = 0
        rejected: list[RejectedRecord] = []
        with self._lock:
            for measurement in measurements(rows):
                row, label, measure, value = measurement
                key = RecordKey(
                    row.entity_type,
                    row.entity_id,
                    row.calculation_method,
                    run.request_id,
                    label,
                    row.calculation_date,
                    measure,
                )
                version, stored = self.records.get(key, (0, value))
                if measurement.fault:
                    rejected.append(measurement.rejected(measurement.fault))
                elif row.calculation_date < self._first_date:
                    rejected.append(measurement.rejected(f"the date is before {self._first_date}"))
                elif version > run.version:
                    superseded += 1
                elif version == run.version and stored != value:
                    rejected.append(measurement.rejected(f"version {version} has another value"))
                else:
                    self.records[key] = (run.version, value)
                    written += 1
        return TimeSeriesReport(written, superseded, tuple(rejected))
