"""Files of clients, accounts, portfolios, securities, benchmarks, prices and transactions, brought into the books.

First every file is read, each row is checked, and what is right is put on a spool; only then is anything written. So a
wrong file is told before it has left a trace, a file may be sorted in any way, and each entity is written at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby, islice

from common.errors import Fault
from common.models.books import BookEntityType, DayValue, Entity, EntityKey
from common.models.records import (
    ENTITIES,
    SERIES,
    InvalidRecordError,
    Record,
    RecordKind,
    clean,
    dump,
    load_day,
    load_entity,
    load_transaction,
    parse,
    same_content,
)
from common.models.rows import Malformed, Row
from common.stores.ports import Books
from workflows.import_checks import obstacles
from workflows.import_files import ImportFile, reading
from workflows.import_report import MADE_TOLD, OBSTACLES_TOLD, FileReport, First, ImportReport
from workflows.spool import Owners, Spool, Spooled

# Rows that are checked together: what they name is looked up in one call.
_ROWS_CHECKED_AT_ONCE = 1_000
# A history of daily prices of 40 years is one write.
_ROWS_WRITTEN_AT_ONCE = 10_000

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and how much it is in all."""

_TYPE_OF_COLUMN = {f"{each.value}_id": each for each in BookEntityType}
# The columns that name an entity which must be there, or is made.
_NEEDED: dict[RecordKind, tuple[str, ...]] = {
    RecordKind.CLIENTS: (),
    RecordKind.ACCOUNTS: ("client_id",),
    RecordKind.PORTFOLIOS: ("client_id", "account_id"),
    RecordKind.SECURITIES: ("client_id",),
    RecordKind.BENCHMARKS: (),
    RecordKind.PRICES: ("security_id",),
    RecordKind.LEVELS: ("benchmark_id",),
    RecordKind.VALUATIONS: ("portfolio_id",),
    RecordKind.TRANSACTIONS: ("portfolio_id",),
}
_MADE = (BookEntityType.CLIENT, BookEntityType.ACCOUNT, BookEntityType.SECURITY, BookEntityType.BENCHMARK)


def import_files(
    files: Sequence[ImportFile],
    books: Books,
    *,
    strict: bool = False,
    on_progress: Progress = lambda *_: None,
    today: date | None = None,
) -> ImportReport:
    """Bring files into the books. Doing so again, after success or after being stopped half-way, ends the same.

    Parameters
    ----------
    files
        In the order of their kinds, as `inspect` returns them.
    strict
        Write nothing where a row is bad, or where something cannot be calculated.
    today
        In UTC; a transaction that is dated long after it is a bad row.

    Raises
    ------
    InvalidRequestError
        A file cannot be read to its end; nothing was written.
    ThrottledError, TransientError
        The books could not be reached; what was written stays, and importing again completes it.
    """
    reports = [FileReport(file) for file in files]
    with Spool() as spool:
        reader = _Reader(spool, Owners(books, spool), reports, on_progress, today or datetime.now(UTC).date())
        for place in range(len(files)):
            reader.read(place)
        # Before anything is written: it is judged by the spool and the books as they are now.
        found = First.of(obstacles(spool, books), OBSTACLES_TOLD)
        if strict and (found.count or any(report.bad for report in reports)):
            return ImportReport(reports, refused=True, obstacles=found, made={}, marks=())
        made = _Writer(spool, books, reports, on_progress).write()
    marks = sorted(books.marks(), key=lambda mark: mark.portfolio_id)
    return ImportReport(reports, refused=False, obstacles=found, made=made, marks=marks)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads files onto the spool."""

    def __init__(
        self, spool: Spool, owners: Owners, reports: Sequence[FileReport], on_progress: Progress, today: date
    ) -> None:
        self._spool, self._owners, self._reports, self._on_progress = spool, owners, reports, on_progress
        self._today = today

    def read(self, place: int) -> None:
        """Read the file at `place`, counting its bad and repeated rows."""
        report = self._reports[place]
        file = report.file
        with reading(file) as (rows, position):
            while chunk := list(islice(rows, _ROWS_CHECKED_AT_ONCE)):
                checked = [(number, _Checked.of(file.kind, row, self._today)) for number, row in chunk]
                self._owners.look_up(key for _, each in checked for key in each.named.values())
                for number, each in checked:
                    self._take(each, place, number)
                report.rows += len(chunk)
                self._on_progress(f"Reading {file.path.name}", position() if position else report.rows, file.size)

    def _take(self, checked: "_Checked", place: int, number: int) -> None:
        report = self._reports[place]
        kind = report.file.kind
        faults = [*checked.faults, *self._ownership_faults(kind, checked)]
        if faults or checked.record is None:
            report.refuse(number, faults)
            return
        earlier = self._spool.add(kind, checked.record, place, number)
        if earlier is None:
            self._announce(kind, checked)
        elif same_content(kind, earlier.key, earlier.content, dump(checked.record)):
            report.repeated += 1
        else:
            report.refuse(number, [self._contradiction(kind, earlier, place)])

    def _ownership_faults(self, kind: RecordKind, checked: "_Checked") -> Iterator[Fault]:
        """Yield what is wrong with the entities a row names: they are not there, or are another client's."""
        row, named = checked.row, checked.named
        whose_is_told = "client_id" in row and not any(fault.path == "client_id" for fault in checked.faults)
        if kind in {RecordKind.VALUATIONS, RecordKind.TRANSACTIONS}:
            if "portfolio_id" in named and self._owners.of(named["portfolio_id"]) is None:
                yield Fault("portfolio_id", f"{row['portfolio_id']!r} is neither in the books nor in these files")
        elif kind in ENTITIES and whose_is_told:
            own = kind.required[0]
            for column in dict.fromkeys((own, "account_id")):
                owner = self._owners.of(named[column]) if column in named else None
                # Of its own entity only the books can contradict a row here; another row that does is told by its line.
                if owner and owner.client_id != row["client_id"] and (owner.in_books or column != own):
                    whose = "everybody's" if owner.client_id is None else f"that of client {owner.client_id!r}"
                    yield Fault(column, f"{row[column]!r} is {whose}")

    def _announce(self, kind: RecordKind, checked: "_Checked") -> None:
        """Note the entity of a row, and those it names that are nowhere else."""
        row = checked.row
        if kind in ENTITIES:
            self._owners.announce(checked.named[kind.required[0]], row.get("client_id"), implied=False)
        for column in _NEEDED[kind]:
            if column in checked.named and column != "portfolio_id":
                self._owners.announce(checked.named[column], row.get("client_id"), implied=True)

    def _contradiction(self, kind: RecordKind, earlier: Spooled, place: int) -> Fault:
        file = self._reports[earlier.file].file
        where = f"{file.unit} {earlier.number}" + (f" of {file.path}" if earlier.file != place else "")
        column = {RecordKind.TRANSACTIONS: "transaction_id"}.get(kind, "date" if kind in SERIES else kind.required[0])
        return Fault(column, f"{earlier.key or earlier.entity_id!r} stands in {where} already, with another content")


@dataclass(frozen=True)
class _Checked:
    """A row as far as it can be judged by itself.

    Attributes
    ----------
    record
        None where there are faults.
    named
        The entities it names that matter, by the column: its own, and those that must be there or are made.
    """

    row: Row
    record: Record | None
    faults: tuple[Fault, ...]
    named: Mapping[str, EntityKey]

    @classmethod
    def of(cls, kind: RecordKind, row: Row | Malformed, today: date) -> "_Checked":
        """Judge a row."""
        if isinstance(row, Malformed):
            return cls({}, None, (Fault("", row.reason),), {})
        row = clean(row)
        record: Record | None = None
        faults: tuple[Fault, ...] = ()
        try:
            record = parse(kind, row, today)
        except InvalidRecordError as error:
            faults = error.faults
        faulty = {fault.path for fault in faults}
        columns = [name for name in dict.fromkeys((kind.required[0], *_NEEDED[kind])) if row.get(name) is not None]
        named = {name: EntityKey(_TYPE_OF_COLUMN[name], row[name]) for name in columns if name not in faulty}
        return cls(row, record, faults, named)


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes what is on the spool into the books."""

    def __init__(self, spool: Spool, books: Books, reports: Sequence[FileReport], on_progress: Progress) -> None:
        self._spool, self._books, self._reports, self._on_progress = spool, books, reports, on_progress
        self._done = 0
        self._total = sum(report.rows - report.bad - report.repeated for report in reports)

    def write(self) -> Mapping[BookEntityType, First[str]]:
        """Write everything; return the entities that were made because a record names them."""
        made = {
            entity_type: First.of(
                (each.entity_id for each in self._implied(entity_type) if self._books.put_entity(each)), MADE_TOLD
            )
            for entity_type in _MADE
        }
        for kind in dict.fromkeys(report.file.kind for report in self._reports):
            if kind in ENTITIES:
                self._write_entities(kind)
            elif kind in SERIES:
                self._write_series(kind)
            else:
                self._write_transactions()
        return {entity_type: found for entity_type, found in made.items() if found.count}

    def _implied(self, entity_type: BookEntityType) -> Iterator[Entity]:
        for entity_id, client_id in self._spool.implied(entity_type):
            key = {"entity_type": entity_type, "entity_id": entity_id, "client_id": client_id}
            if entity_type is BookEntityType.ACCOUNT:
                key["account_id"] = entity_id
            yield Entity.model_validate(key)

    def _write_entities(self, kind: RecordKind) -> None:
        records = self._spool.records(kind)
        while chunk := list(islice(records, _ROWS_CHECKED_AT_ONCE)):
            keys = [EntityKey(ENTITIES[kind], each.entity_id) for each in chunk]
            stored = self._books.entities(keys)
            for key, each in zip(keys, chunk, strict=True):
                known = stored.get(key)
                changed = self._books.put_entity(load_entity(kind, each.entity_id, each.content, known))
                self._count(each.file, new=known is None, changed=changed and known is not None, unchanged=not changed)

    def _write_series(self, kind: RecordKind) -> None:
        for entity_id, file, records in _batches(self._spool.records(kind)):
            days: list[DayValue] = [load_day(each.key, each.content) for each in records]
            done = self._books.write_series(SERIES[kind], entity_id, days)
            self._count(file, new=done.added, changed=done.changed, unchanged=done.unchanged)

    def _write_transactions(self) -> None:
        for portfolio_id, file, records in _batches(self._spool.records(RecordKind.TRANSACTIONS)):
            transactions = [load_transaction(each.content) for each in records]
            done = self._books.record(portfolio_id, transactions, replace=True)
            self._count(file, new=len(done.added), changed=len(done.replaced), unchanged=len(done.unchanged))

    def _count(self, file: int, *, new: int, changed: int, unchanged: int) -> None:
        report = self._reports[file]
        report.new += new
        report.changed += changed
        report.unchanged += unchanged
        self._done += new + changed + unchanged
        self._on_progress("Writing", self._done, self._total)


def _batches(records: Iterator[Spooled]) -> Iterator[tuple[str, int, list[Spooled]]]:
    """Yield an entity, a file, and what that file has of the entity, cut where it is too much for one write."""
    for entity_id, group in groupby(records, key=lambda each: each.entity_id):
        while chunk := list(islice(group, _ROWS_WRITTEN_AT_ONCE)):
            by_file: dict[int, list[Spooled]] = {}
            for each in chunk:
                by_file.setdefault(each.file, []).append(each)
            for file, of_file in by_file.items():
                yield entity_id, file, of_file
