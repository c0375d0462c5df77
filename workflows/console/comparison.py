"""What an address asks to be compared, and what is wrong with it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from common.errors import PermanentError
from common.models.identifiers import Identifier
from common.models.kinds import EntityType
from workflows.console.ports import EntityName

_ID: Final = TypeAdapter[str](Identifier)
_KINDS: Final = ", ".join(EntityType)


class NotComparableError(PermanentError):
    """What was chosen cannot be set side by side.

    Parameters
    ----------
    faults
        Everything that is wrong with the choice.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))


def compared_entities(chosen: Sequence[str], most: int) -> list[EntityName]:
    """Return what was chosen to be compared.

    Parameters
    ----------
    chosen
        Each by its kind and id, as `portfolio/acme-growth`.
    most
        How many there may be.

    Raises
    ------
    NotComparableError
        With every fault: too few, too many, one of them twice, or one that cannot be.
    """
    faults = [f"{each} is chosen {count} times." for each, count in Counter(chosen).items() if count > 1]
    if len(chosen) < 2:
        faults.append(f"{'One is' if chosen else 'None is'} chosen: a comparison needs two at least.")
    if len(chosen) > most:
        faults.append(f"{len(chosen)} are chosen: no more than {most} can be told apart in one chart.")
    found = []
    for each in dict.fromkeys(chosen):
        kind, slash, entity_id = each.partition("/")
        if not slash:
            faults.append(f"{each} names nothing: one is named by its kind and id, as portfolio/acme-growth.")
        elif kind not in set(EntityType):
            faults.append(f"{each}: there is no kind {kind}; there are {_KINDS}.")
        elif not _is_id(entity_id):
            faults.append(f"{each}: {entity_id} cannot be an id.")
        else:
            found.append(EntityName(EntityType(kind), entity_id))
    if faults:
        raise NotComparableError(faults)
    return found


def _is_id(text: str) -> bool:
    try:
        _ID.validate_python(text)
    except ValidationError:
        return False
    return True
