"""Histories as they grow: read once, page by page, and kept while somebody looks at them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from workflows.console.service import StepFunctions
from workflows.console.visits import ENDS, Visits

Event = dict[str, Any]

# A history holds up to 25,000 events with the state in each: some ten MB, for whom a few are looked at in turns.
_KEPT: Final = 4
# A page is shown after this long with what there is, and asks for the rest.
READ_SECONDS: Final = 1.0


class ExecutionHistory:
    """The history of one execution, as far as it has been read.

    Attributes
    ----------
    events : list of dict
        As GetExecutionHistory has them, in their order.
    visits : Visits
        What they come to.
    complete : bool
        Whether all was read that there was when it was last asked.
    """

    def __init__(self, arn: str) -> None:
        self.arn = arn
        self.events: list[Event] = []
        self.visits = Visits()
        self.complete = False
        self._token: str | None = None
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether its last event is the end of the execution; after a redrive there is more."""
        return bool(self.events) and self.events[-1]["type"] in ENDS

    def read_on(self, service: StepFunctions, seconds: float, clock: Callable[[], float]) -> None:
        """Read what is new, a page at least, and stop after some `seconds`.

        A full page never changes, so only the last is read again.
        """
        with self._lock:
            deadline = clock() + seconds
            while True:
                page = service.history(self.arn, self._token)
                known = self.events[-1]["id"] if self.events else 0
                for event in page["events"]:
                    if event["id"] > known:
                        self.events.append(event)
                        self.visits.fold(event)
                following = page.get("nextToken")
                self.complete = following is None
                if following is None:
                    return
                self._token = following
                if clock() >= deadline:
                    return


class Histories:
    """The histories that were looked at last.

    Parameters
    ----------
    service
        Where they are read.
    read_seconds
        How long one look may take.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        service: StepFunctions,
        *,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._read_seconds = read_seconds
        self._clock = clock
        self._kept: OrderedDict[str, ExecutionHistory] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, arn: str) -> ExecutionHistory:
        """Return the history of an execution with what is new in it.

        Raises
        ------
        InputNotFoundError
            There is no such execution.
        """
        with self._lock:
            history = self._kept.setdefault(arn, ExecutionHistory(arn))
            self._kept.move_to_end(arn)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        if not (history.complete and history.ended):
            history.read_on(self._service, self._read_seconds, self._clock)
        return history

    def forget(self, arn: str) -> None:
        """Read a history anew when it is next asked for: its execution was redriven."""
        with self._lock:
            self._kept.pop(arn, None)
