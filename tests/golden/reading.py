"""Reading the golden data; `README.md` here tells the fields."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

Case = dict[str, Any]


def read(family: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((HERE / f"{family}.json").read_text(encoding="utf-8"))
    return document


def parameters(cases: list[Case]) -> list[Any]:
    """Make each case a parameter under its own name."""
    return [pytest.param(case, id=case["name"]) for case in cases]


def near(value: float, tolerance: dict[str, float]) -> object:
    """Expect `value` within the tolerance of its case."""
    return pytest.approx(value, abs=tolerance.get("abs"), rel=tolerance.get("rel"))


def day(text: str) -> date:
    return date.fromisoformat(text)
