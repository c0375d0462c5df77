"""Clients of AWS services, each as patient as the function that waits for it."""

from typing import Any, Final, NamedTuple


class Patience(NamedTuple):
    """How long a client tries.

    Attributes
    ----------
    attempts : int
        In botocore's standard mode, which waits up to 20 s between two.
    connect_seconds, read_seconds : float
        Of each attempt.
    """

    attempts: int
    connect_seconds: float
    read_seconds: float


# A person waits, and API Gateway does for 29 s.
INTERACTIVE: Final = Patience(attempts=3, connect_seconds=1, read_seconds=4)


def aws_client(service: str, endpoint: str | None, patience: Patience, *, connections: int = 10) -> Any:
    """Return a boto3 client.

    Parameters
    ----------
    service
        As boto3 calls it.
    endpoint
        None is the service itself.
    patience
        How long it tries.
    connections
        How many calls it makes at a time.
    """
    import boto3  # noqa: PLC0415 - a fifth of a second that a test with a fake need not pay
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
        max_pool_connections=connections,
    )
    return boto3.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]  # any service
