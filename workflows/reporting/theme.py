"""Colours of the pages and charts, light and dark.

A chart names a colour by its role, such as `#portfolio`, which no id can be mistaken for: an id has no `#`. In a page
the role becomes a CSS variable, so that a change of theme, or printing, repaints every chart without a line of script;
in an image of its own it becomes the colour.

The hues are those of Okabe and Ito (2008), *Color Universal Design*, made lighter or darker until each has a contrast
of 3:1 or more with the surface it lies on. Series differ by their dashes too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

ROLES: Final[Mapping[str, tuple[str, str]]] = {
    "surface": ("#ffffff", "#14181d"),
    "raised": ("#f5f7f9", "#1c2229"),
    "ink": ("#16202a", "#e8edf2"),
    "muted": ("#566472", "#a3b0bd"),
    "line": ("#d5dce3", "#36414c"),
    "focus": ("#0b5cad", "#7cc0ff"),
    "portfolio": ("#0b66a8", "#5ab3ee"),
    "benchmark": ("#b85400", "#f0a03c"),
    "inflow": ("#007a58", "#2fc79a"),
    "outflow": ("#a8437d", "#e58fc0"),
    "loss": ("#b85400", "#f0a03c"),
    "gain": ("#0b66a8", "#5ab3ee"),
    "warning": ("#8a5a00", "#f0b94a"),
    "series1": ("#0b66a8", "#5ab3ee"),
    "series2": ("#b85400", "#f0a03c"),
    "series3": ("#007a58", "#2fc79a"),
    "series4": ("#a8437d", "#e58fc0"),
    "series5": ("#16202a", "#e8edf2"),
    "series6": ("#7a6a00", "#e6d850"),
    "series7": ("#2b7f9e", "#8fd4ea"),
    "series8": ("#6b4fb3", "#b9a3f2"),
}
"""The colour of each role, in light and in dark."""

SERIES: Final = tuple(f"#series{number}" for number in range(1, 9))
DASHES: Final[Sequence[Sequence[int]]] = (
    *([1, 0], [6, 3], [2, 2], [8, 3, 2, 3]),
    *([14, 3], [12, 3, 4, 3], [8, 3, 2, 3, 2, 3], [4, 6]),
)

# What the machine itself sets its windows in; an image is drawn by a program that has a font of its own.
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

CONFIG: Final[Mapping[str, Any]] = {
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#muted",
        "titleColor": "#muted",
        "titleFontWeight": "normal",
        "gridColor": "#line",
        "domainColor": "#line",
        "tickColor": "#line",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelPadding": 6,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False},
    "legend": {
        "orient": "top",
        "labelColor": "#ink",
        "labelFontSize": 13,
        "labelLimit": 260,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 220,
        "title": None,
        "columnPadding": 18,
    },
    "text": {"color": "#ink", "fontSize": 12},
    "rule": {"color": "#muted"},
    "bar": {"color": "#portfolio"},
    "line": {"strokeWidth": 1.75, "strokeJoin": "round"},
}


def css_variables(theme: int) -> str:
    """Return the roles as CSS variables; `theme` is 0 for light, 1 for dark."""
    return "".join(f"--r-{role}:{colours[theme]};" for role, colours in ROLES.items())


def resolved(spec: Any, colours: Mapping[str, str]) -> Any:
    """Return a specification in which every role is replaced by its colour."""
    if isinstance(spec, Mapping):
        # Data hold no colours, and are much the largest part.
        return {name: each if name == "datasets" else resolved(each, colours) for name, each in spec.items()}
    if isinstance(spec, list | tuple):
        return [resolved(each, colours) for each in spec]
    return colours.get(spec, spec) if isinstance(spec, str) else spec


def variables() -> dict[str, str]:
    """Return the CSS variable of each role, for a page."""
    return {f"#{role}": f"var(--r-{role})" for role in ROLES}


def light_colours() -> dict[str, str]:
    """Return the light colour of each role, for an image and for paper."""
    return {f"#{role}": colours[0] for role, colours in ROLES.items()}
