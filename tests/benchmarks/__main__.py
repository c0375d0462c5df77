"""`make bench`: each measurement against its comparison, and the ratios of all of them in one table."""

import argparse
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.benchmarks import cache, calculations, document, encodings, fleet, handlers, peers, runs, stores, xirr
from tests.benchmarks.measure import Case, NotInstalledError, measure, ratio_row, ratio_table

SUBJECTS: dict[str, Callable[[], Iterator[Case | Table]]] = {
    "calculations": calculations.cases,
    "peers": peers.cases,
    "xirr": xirr.cases,
    "stores": stores.cases,
    "encodings": encodings.cases,
    "cache": cache.cases,
    "handlers": handlers.cases,
    "runs": runs.cases,
    "fleet": fleet.cases,
}


def main() -> None:
    """Measure the subjects that are named, or all of them; print what was found and write it down."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"of {', '.join(SUBJECTS)}; all of them where none is named")
    named = parser.parse_args().subject
    if unknown := sorted(set(named) - SUBJECTS.keys()):
        parser.error(f"there is no subject {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    console = Console(width=150)
    for subject, cases in SUBJECTS.items():
        if subject in named or not named:
            tables = _measured(subject, cases, console)
            console.print(*tables)
            document.write(subject, tables)


def _measured(subject: str, cases: Callable[[], Iterator[Case | Table]], console: Console) -> list[Table]:
    """Return the tables of a subject, that of its ratios first."""
    ratios = ratio_table()
    others: list[Table] = []
    with console.status("") as status:
        try:
            for each in cases():
                if isinstance(each, Table):
                    others.append(each)
                else:
                    status.update(f"{subject}: {each.what}")
                    ratios.add_row(*ratio_row(each, measure(each)))
        except NotInstalledError as error:
            console.print(f"{subject}: not measured to the end: {error}")
    return [*([ratios] if ratios.row_count else []), *others]


if __name__ == "__main__":
    main()
