"""How the pages write times, durations and documents."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from common.errors import message_of

# A page shows this much of a document; a download has all of it.
SHOWN_CHARACTERS: Final = 100_000
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS


def duration(milliseconds: float | None) -> str:
    """Return a duration: `38 ms`, `4.2 s`, `3 min 05 s`, `2 h 04 min`."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / 1000:.1f} s"
    if milliseconds < _HOUR_MS:
        minutes, rest = divmod(round(milliseconds / 1000), 60)
        return f"{minutes} min {rest:02} s"
    hours, rest = divmod(round(milliseconds / _MINUTE_MS), 60)
    return f"{hours} h {rest:02} min"


def between(start: datetime, end: datetime | None) -> str:
    """Return how long it was from one moment to another; empty while there is no other."""
    return duration((end - start).total_seconds() * 1000) if end else ""


def moment(when: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def machine_moment(when: datetime) -> str:
    """Return a moment as `<time datetime>` has it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds")


def pretty(text: str | None) -> str:
    """Return a JSON text indented; what is no JSON, as it is."""
    if text is None:
        return ""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def parsed(text: str | None) -> Any:
    """Return what a JSON text says; None where there is none, or it was cut short."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def shown(text: str) -> str:
    """Return as much of a text as a page shows."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS]


def document(value: Any) -> str:
    """Return a part of an API's answer as indented JSON, moments in UTC, JSON inside it unfolded."""
    return json.dumps(_unfolded(value), indent=2, ensure_ascii=False, default=_text)


def reason(cause: str | None) -> str:
    """Return the message of an error's cause."""
    return message_of(cause)


def status_words(status: str) -> str:
    """Return a status of Step Functions as a person reads it: `Timed out`."""
    return status.replace("_", " ").capitalize()


def _text(value: object) -> str:
    return machine_moment(value) if isinstance(value, datetime) else str(value)


def _unfolded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unfolded(each) for key, each in value.items()}
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
