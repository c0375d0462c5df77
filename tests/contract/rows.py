"""Result rows for the contract suites."""

from datetime import UTC, date, datetime
from typing import Any

from common.calculations import FlowTiming
from common.models.kinds import CalculationMethod, EntityType
from common.models.results import PeriodResult, ResultRow, Run

DAY = date(2023, 6, 30)
EARLY = Run(request_id="req-1", execution_name="run-1", started_at=datetime(2023, 7, 1, 10, 15, 30, tzinfo=UTC))
LATE = Run(request_id="req-2", execution_name="run-2", started_at=datetime(2023, 7, 1, 11, 0, 0, tzinfo=UTC))


def period(**metrics: Any) -> PeriodResult:
    names = set(PeriodResult.model_fields) - {"from_date", "to_date", "days", "undefined", "warnings"}
    defaults: dict[str, Any] = dict.fromkeys(names)
    defaults |= {"twr": 0.0842, "mwr": 0.0789, "volatility": 0.1245, "sharpe_ratio": 0.5123, "max_drawdown": 0.1532}
    found: dict[str, Any] = defaults | metrics
    undefined = {name: "no_benchmark" for name in names if found[name] is None}
    return PeriodResult.model_validate(
        {"from": date(2022, 6, 30), "to": DAY, "days": 365, **found, "undefined": undefined, "warnings": []}
    )


def row(
    entity_id: str = "port-12345",
    *,
    run: Run = EARLY,
    day: date = DAY,
    periods: dict[str, PeriodResult] | None = None,
) -> ResultRow:
    return ResultRow(
        entity_type=EntityType.PORTFOLIO,
        entity_id=entity_id,
        calculation_date=day,
        calculation_method=CalculationMethod.DAILY,
        request_id=run.request_id,
        flow_timing=FlowTiming.AFTER_CLOSE,
        periods_per_year=252,
        risk_free_rate=0.02,
        benchmark_id="SP500",
        currency="USD",
        client_id=None,
        account_id=None,
        periods=periods or {"1Y": period()},
        warnings=["empty_account"],
    )
