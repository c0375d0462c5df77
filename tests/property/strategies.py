"""Worlds to calculate in: valuations with their flows, and dated amounts."""

from datetime import date, timedelta

from hypothesis import strategies as st

from common.calculations import CashFlow, DailyValue, FlowTiming

START = date(2019, 12, 31)
TIMINGS = st.sampled_from(list(FlowTiming))
RETURNS = st.floats(-0.3, 0.4, allow_nan=False)
CENTS = st.integers(-(10**11), 10**11).map(lambda cents: cents / 100)

Portfolio = tuple[list[DailyValue], list[CashFlow]]


@st.composite
def return_series(draw: st.DrawFn, min_size: int = 2, max_size: int = 60) -> list[float]:
    return draw(st.lists(RETURNS, min_size=min_size, max_size=max_size))


@st.composite
def funded_portfolios(draw: st.DrawFn, timing: FlowTiming = FlowTiming.AFTER_CLOSE) -> Portfolio:
    """A portfolio that always holds something, made forward from its returns and flows under `timing`."""
    returns = draw(return_series())
    value = draw(st.floats(1e3, 1e9))
    values = [DailyValue(START, value)]
    flows: list[CashFlow] = []
    carried = 0.0
    for index, each in enumerate(returns, start=1):
        day = START + timedelta(days=index)
        flow = draw(st.one_of(st.just(0.0), st.floats(-0.4 * value, 2.0 * value)))
        match timing:
            case FlowTiming.AFTER_CLOSE:
                value = (value + carried) * (1 + each)
                # Dated with the valuation that does not hold it yet; a small enough outflow leaves something.
                carried = flow if flow > -0.4 * value else 0.0
                flow = carried
            case FlowTiming.END_OF_DAY:
                grown = value * (1 + each)
                flow = flow if flow > -0.9 * grown else 0.0
                value = grown + flow
            case FlowTiming.START_OF_DAY:
                value = (value + flow) * (1 + each)
            case FlowTiming.INFLOW_START_OUTFLOW_END:
                grown = (value + max(flow, 0.0)) * (1 + each)
                flow = flow if flow > -0.9 * grown else 0.0
                value = grown + min(flow, 0.0)
        values.append(DailyValue(day, value))
        if flow:
            flows.append(CashFlow(day, flow))
    return values, flows


@st.composite
def any_portfolios(draw: st.DrawFn) -> Portfolio:
    """Whatever can be written down: negative, empty, jumping, with flows anywhere."""
    numbers = st.one_of(st.just(0.0), CENTS, st.floats(-1e15, 1e15))
    offsets = draw(st.lists(st.integers(0, 5_000), min_size=1, max_size=12, unique=True))
    values = [DailyValue(START + timedelta(days=offset), draw(numbers)) for offset in offsets]
    flows = [
        CashFlow(START + timedelta(days=draw(st.integers(-50, 5_050))), draw(numbers))
        for _ in range(draw(st.integers(0, 6)))
    ]
    return values, flows
