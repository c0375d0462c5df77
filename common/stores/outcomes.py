"""What the iterations of the Map hand on, and how a later state gets at the rows behind it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common.models.results import ResultRow
from common.stores.ports import PayloadStore

READERS = 16


def rows_of(outcomes: Sequence[Mapping[str, Any]], payloads: PayloadStore) -> list[ResultRow]:
    """Return the result rows of what was calculated, in their order.

    Parameters
    ----------
    outcomes
        For each entity `{row, result}`, `{row, result_key}` where the result did not fit into the state, or
        `{failure}`.
    payloads
        Where the results are that did not fit.
    """

    def load(outcome: Mapping[str, Any]) -> ResultRow:
        if "result" in outcome:
            return ResultRow.model_validate(outcome["result"])
        return ResultRow.model_validate_json(payloads.get(outcome["result_key"]))

    calculated = [outcome for outcome in outcomes if "row" in outcome]
    with ThreadPoolExecutor(max_workers=READERS) as readers:
        return list(readers.map(load, calculated))
