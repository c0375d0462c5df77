"""The handlers of signals that `perfcalc` sets when it is called in this process."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Give the process its handlers back at the end of a block."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
