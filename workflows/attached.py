"""The world that another process of this machine has open, read through that process, or through the next one.

Whoever has a data directory open answers in the protocols of AWS (`workflows.local.sharing`), and may end at any time.
The clients here ask for a successor then, and put the same question to it: they only read, so that a question may be
put twice. `workflows.local.opening` finds the successor.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError

from common.errors import TransientError
from common.stores.clients import Patience
from common.stores.dynamodb import DynamoDBResultStore
from common.stores.dynamodb_books import DynamoDBBooks
from common.stores.timestream import TimestreamReader
from workflows.deployed import Announcement, RemoteWorld, client_config
from workflows.executions import ExecutionClient

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

Successor = Callable[[], Announcement | None]
"""Returns who has the data directory open now; None where nobody does."""

# So often a question is put altogether, to one process or to several that end one after the other.
ATTEMPTS: Final = 5
POLL_SECONDS: Final = 0.1
# Whether to ask again is decided here, not by botocore.
_PATIENCE: Final = Patience(attempts=1, connect_seconds=5, read_seconds=20)
# A query of Timestream may read years of every portfolio.
_QUERY_PATIENCE: Final = Patience(attempts=1, connect_seconds=5, read_seconds=120)
_SERVER_ERROR: Final = 500
_ASKED: Final = "perfcalc_asked"

_Place = Callable[[Announcement], tuple[str, str, str]]
"""The endpoint, the access key and the secret key of a service."""


class Attached:
    """Clients of the world that a process has open; when it ends, all go on with the same successor.

    Parameters
    ----------
    announcement
        Of the process that has the world open.
    successor
        Finds the next one when that does not answer; without it a question fails.

    Attributes
    ----------
    announcement : Announcement
        Of the process that is asked now.
    """

    def __init__(self, announcement: Announcement, successor: Successor | None = None) -> None:
        self.announcement = announcement
        self._successor = successor
        self._looking = threading.Lock()
        self._session = _session_without_configuration()

    def client(self, service: str, place: _Place, *, patience: Patience = _PATIENCE, asks_again: bool = True) -> Any:
        """Return a client of a service.

        Parameters
        ----------
        service
            Its name in botocore.
        place
            Finds it in an announcement.
        patience
            How long one attempt may take.
        asks_again
            Whether a question that was not answered is put to the successor.
        """
        endpoint, key, secret = place(self.announcement)
        # Each client keeps the credentials that it was made with, as an object; what is in it changes with the process.
        self._session.set_credentials(key, secret)
        credentials = self._session.get_credentials()
        assert credentials is not None
        made: Any = self._session.create_client(
            service,
            region_name=self.announcement.region,
            endpoint_url=endpoint,
            config=client_config(patience, proxies={}),
        )

        def direct(request: "AWSRequest", **_: object) -> None:
            self._direct(request, credentials, place)

        name = made.meta.service_model.service_id.hyphenize()
        made.meta.events.register_first(f"request-created.{name}", direct)
        if asks_again:
            made.meta.events.register_first(f"needs-retry.{name}", self._again)
        return made

    def renew(self, asked: Announcement) -> bool:
        """Find who has the data directory open after `asked`; return False where nobody does."""
        with self._looking:
            if self.announcement is asked:  # no other thread has found one meanwhile
                found = self._successor() if self._successor else None
                if found is None:
                    return False
                self.announcement = found
        return True

    def _direct(self, request: "AWSRequest", credentials: "Credentials", place: _Place) -> None:
        """Send a request, before it is signed, to the process that is asked now."""
        request.context[_ASKED] = asked = self.announcement
        endpoint, credentials.access_key, credentials.secret_key = place(asked)
        request.url = urlsplit(str(request.url))._replace(netloc=urlsplit(endpoint).netloc).geturl()

    def _again(
        self,
        *,
        response: tuple[Any, Any] | None,
        caught_exception: Exception | None,
        attempts: int,
        request_dict: Mapping[str, Any],
        **_: object,
    ) -> int | None:
        """Return after how many seconds botocore puts a question again, None where it does not."""
        gone = isinstance(caught_exception, NoConnectionError | HTTPClientError)
        failed = gone or (response is not None and not _is_whole(response[0]))
        return 0 if failed and attempts < ATTEMPTS and self.renew(request_dict["context"][_ASKED]) else None


class WholeQueries(TimestreamReader):
    """Reads the answer to a query at once: its pages are kept by the process that was asked, and end with it."""

    def __init__(self, attached: Attached) -> None:
        super().__init__(attached.client("timestream-query", _timestream, patience=_QUERY_PATIENCE, asks_again=False))
        self._attached = attached

    def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
        """Run `sql`, as `TimestreamReader.query`; where its process ends meanwhile, from the beginning at the next."""
        attempts = 1
        while True:
            asked = self._attached.announcement
            try:
                names, rows = super().query(sql)
                return names, iter([*rows])
            except TransientError:
                if attempts == ATTEMPTS or not self._attached.renew(asked):
                    raise
                attempts += 1


def attach(announced: Announcement, successor: Successor | None = None) -> RemoteWorld:
    """Return the world that another process has announced; `workflows.deployed.understood` tells when it has gone.

    Parameters
    ----------
    announced
        What it told.
    successor
        Finds the next process when that does not answer any longer.
    """
    attached = Attached(announced, successor)
    dynamodb = attached.client("dynamodb", _dynamodb)
    stepfunctions = attached.client("stepfunctions", _stepfunctions)
    return RemoteWorld(
        executions=ExecutionClient(stepfunctions, announced.state_machine_arn, poll_seconds=POLL_SECONDS),
        fleet=ExecutionClient(stepfunctions, announced.fleet_arn, poll_seconds=POLL_SECONDS),
        result_store=DynamoDBResultStore(dynamodb, announced.result_table),
        books=DynamoDBBooks(dynamodb, announced.entity_table),
        time_series_reader=WholeQueries(attached),
        lines=[*announced.lines, f"Open in process {announced.pid}"],
    )


def _is_whole(answer: Any) -> bool:
    """Tell whether an answer is of a server that stands, and all of it: what breaks off may pass for a short one."""
    length = answer.headers.get("Content-Length")
    whole = length == str(len(answer.content)) if length else "Transfer-Encoding" in answer.headers
    return whole and answer.status_code < _SERVER_ERROR


def _stepfunctions(announced: Announcement) -> tuple[str, str, str]:
    token = announced.token.get_secret_value()
    return announced.endpoint, token, token


def _dynamodb(announced: Announcement) -> tuple[str, str, str]:
    key, secret = announced.dynamodb_access_key, announced.dynamodb_secret_key
    return announced.dynamodb_endpoint, key.get_secret_value(), secret.get_secret_value()


def _timestream(announced: Announcement) -> tuple[str, str, str]:
    token = announced.token.get_secret_value()
    return announced.timestream_endpoint, token, token


def _session_without_configuration() -> botocore.session.Session:
    """Return a session that the AWS configuration of whoever runs this says nothing about: no profile, no endpoint."""
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
