"""The end-to-end check as far as it needs no AWS: what it calls a difference, and what it refuses to begin."""

import copy
from typing import Any

import pytest

from tests.e2e import __main__ as command
from tests.e2e.comparing import differences, metrics

PERIOD = {"from": "2022-01-01", "to": "2022-12-28", "days": 361, "twr": 0.1, "mwr": None, "undefined": {"mwr": "no"}}
ROW = {
    "entity_type": "portfolio",
    "entity_id": "growth",
    "calculation_date": "2022-12-28",
    "created_at": "2026-01-01",
    "version": 1,
    "warnings": ["w"],
    "periods": {"YTD": PERIOD},
}
REPORT: dict[str, Any] = {
    "status": "PARTIAL",
    "results": [ROW],
    "failures": [{"entity_type": "portfolio", "entity_id": "p", "error": "E", "message": "s3://here/x"}],
}


def changed(value: object, *path: str | int) -> dict[str, Any]:
    report = copy.deepcopy(REPORT)
    holder: Any = report
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return report


def test_a_run_is_the_same_as_itself_and_its_figures_are_counted() -> None:
    assert differences(REPORT, copy.deepcopy(REPORT)) == []
    assert metrics(REPORT) == 2


@pytest.mark.parametrize(
    "other",
    [
        changed("2027-01-01", "results", 0, "created_at"),
        changed(2, "results", 0, "version"),
        changed("s3://there/x", "failures", 0, "message"),
        changed(0.1 * (1 + 1e-12), "results", 0, "periods", "YTD", "twr"),
    ],
)
def test_what_differs_from_run_to_run_is_no_difference(other: dict[str, Any]) -> None:
    assert differences(REPORT, other) == []


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            changed(0.1 * (1 + 1e-8), "results", 0, "periods", "YTD", "twr"),
            "portfolio growth 2022-12-28.periods.YTD.twr: 0.1 here, 0.100000001 there",
        ),
        (
            changed(0.0, "results", 0, "periods", "YTD", "mwr"),
            "portfolio growth 2022-12-28.periods.YTD.mwr: None here, 0.0 there",
        ),
        (
            changed(None, "results", 0, "periods", "YTD", "twr"),
            "portfolio growth 2022-12-28.periods.YTD.twr: 0.1 here, None there",
        ),
        (
            changed("other", "results", 0, "periods", "YTD", "undefined", "mwr"),
            "portfolio growth 2022-12-28.periods.YTD.undefined.mwr: 'no' here, 'other' there",
        ),
        (changed([], "results", 0, "warnings"), "portfolio growth 2022-12-28.warnings: ['w'] here, [] there"),
        (changed(True, "results", 0, "periods", "YTD", "days"), "361 here, True there"),
        (changed([], "results"), "portfolio growth 2022-12-28: only here"),
        (changed("SUCCEEDED", "status"), "status: 'PARTIAL' here, 'SUCCEEDED' there"),
        (changed("F", "failures", 0, "error"), "failures.portfolio p: 'E' here, 'F' there"),
        (changed([], "failures"), "failures.portfolio p: 'E' here, None there"),
    ],
)
def test_every_other_difference_is_told_with_its_place(other: dict[str, Any], told: str) -> None:
    (line,) = differences(REPORT, other)
    assert line.endswith(told)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--stage", "dev"], "say --yes"),
        (["--stage", "prod", "--yes"], "invalid choice: 'prod'"),
        (["--yes"], "required: --stage"),
    ],
)
def test_it_deploys_nothing_unless_asked_and_never_destroys_what_keeps_data(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
