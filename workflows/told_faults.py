"""The faults of a request that an execution has found, out of the message that it ended with."""

from common.errors import Fault


def faults_in(message: str) -> tuple[Fault, ...]:
    """Return the faults that the message of an `InvalidRequestError` tells, or the message as the only one."""
    head, *lines = message.splitlines() or [""]
    found: list[Fault] = []
    for line in lines:
        path, separator, told = line.partition(": ")
        if separator and path.startswith("$"):
            found.append(Fault(path, told))
        elif found and not line.startswith("... and "):  # a name with a line break in it
            found[-1] = Fault(found[-1].path, f"{found[-1].message}\n{line}")
        else:
            found.append(Fault("$", line))
    return tuple(found) or (Fault("$", head),)
