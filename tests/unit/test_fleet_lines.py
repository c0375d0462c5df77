"""The files a fleet run leaves, as they are read after somebody was at them."""

import json

from workflows.fleet_lines import FailureLine, objects, read_failures

FAILURE = {"error": "InvalidPortfolioError", "message": "line 2: is wrong"}


def test_what_was_put_right_since_is_no_failure_any_more() -> None:
    lines = [
        {"portfolio_id": "a", "failure": FAILURE},
        {"portfolio_id": "mended", "valuations": {"dates": [], "values": []}},
        {"entity_type": "account", "entity_id": "b", "failure": {}},
        {"failure": FAILURE},
        {"portfolio_id": "c", "failure": "by hand"},
    ]
    assert list(read_failures(json.dumps(each).encode() for each in lines)) == [
        FailureLine("portfolio", "a", *FAILURE.values()),
        FailureLine("account", "b", "", ""),
        FailureLine("portfolio", "-", *FAILURE.values()),
    ]


def test_a_line_that_is_no_object_is_passed_over() -> None:
    assert list(objects([b'{"a": 1}', b"{", b"[1]", b"", b"\xff", b"[" * 100_000, b'{"b": 2}'])) == [{"a": 1}, {"b": 2}]
