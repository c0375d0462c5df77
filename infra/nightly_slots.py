"""When the nightly event comes, in the hours and days of UTC that CloudWatch knows."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_CRON: Final = re.compile(r"cron\((\d+) (\d+) \? \* ([A-Z,-]+|\*) \*\)")
_DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_YEAR: Final = 2024  # any: all that is asked is how far the zone is from UTC in its months


@dataclass(frozen=True, slots=True)
class Slots:
    """The hours at which the event may come.

    Attributes
    ----------
    local
        The time as the schedule has it.
    utc
        Pairs of weekday, Monday being 1, and hour.
    hours
        How many hours of each day: two where clocks are changed.
    """

    local: str
    utc: tuple[tuple[int, int], ...]
    hours: int

    def condition(self, metric: str) -> str:
        """Return, in metric math, whether a datapoint of `metric` is of one of the hours, and of all of it.

        An alarm may be evaluated each minute, over the hour that ends then: others than the full hour do not count.
        """
        slots = " OR ".join(f"(DAY({metric}) == {day} AND HOUR({metric}) == {hour})" for day, hour in self.utc)
        return f"MINUTE({metric}) == 0 AND ({slots})"


def nightly_slots(cron: str, time_zone: str) -> Slots | None:
    """Return the slots of a schedule; None if it is none of a time on weekdays, such as `cron(0 2 ? * TUE-SAT *)`."""
    if not (found := _CRON.fullmatch(cron)):
        return None
    minute, hour, days = int(found[1]), int(found[2]), _weekdays(found[3])
    if days is None:
        return None
    zone = ZoneInfo(time_zone)
    slots: set[tuple[int, int]] = set()
    for month in range(1, 13):
        first = datetime(_YEAR, month, 8, hour, minute, tzinfo=zone)
        for day in (first + timedelta(days=number) for number in range(7)):
            if day.weekday() in days:
                there = day.astimezone(UTC)
                slots.add((there.isoweekday(), there.hour))
    local = f"{hour:02}:{minute:02} {time_zone}"
    return Slots(local, tuple(sorted(slots)), len(slots) // len(days))


def _weekdays(text: str) -> set[int] | None:
    if text == "*":
        return set(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            return None
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return found
