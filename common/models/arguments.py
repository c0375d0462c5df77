"""What a request asks for, in the terms of the mathematics: apart from it, since to admit one takes no mathematics."""

from datetime import date

from common.calculations.history import Conventions
from common.calculations.periods import Period
from common.calculations.words import FlowTiming
from common.models.kinds import CalculationMethod
from common.models.options import CalculationOptions


def periods_of(options: CalculationOptions, as_of: date) -> list[Period]:
    """Return the periods asked for, as of a date."""
    found = []
    for label in options.time_periods:
        first, slash, second = label.partition("/")
        found.append(
            Period.explicit(date.fromisoformat(first), date.fromisoformat(second))
            if slash
            else Period.standard(label, as_of)
        )
    return found


def conventions_of(options: CalculationOptions, flow_timing: FlowTiming) -> Conventions:
    """Return the choices the calculations need, for valuations that hold their flows as `flow_timing` says."""
    return Conventions(
        flow_timing=flow_timing,
        modified_dietz=options.calculation_method is CalculationMethod.MODIFIED_DIETZ,
        risk_free_rate=options.risk_free_rate,
        periods_per_year=options.periods_per_year,
    )
