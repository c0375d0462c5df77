"""What a stage has that costs something even when nobody uses it, counted in its synthesised templates."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from infra.capacity import prices
from infra.capacity.prices import Price
from infra.settings import StageSettings

Template = Mapping[str, Any]

_MINUTES_A_MONTH: Final = 30 * 24 * 60
# Lambda's pollers of a queue: five, each asking for twenty seconds.
_POLLS_A_MINUTE: Final = 5 * 3
_SWEEP_SECONDS: Final = 0.15
_SWEEP_READ_UNITS: Final = 1.0
_ROOT: Final = Path(__file__).parents[2]


def inventory(templates: Iterable[Template], settings: StageSettings) -> dict[Price, tuple[str, float]]:
    """Return a month's units of every price that an idle stage pays, and what they are of.

    Parameters
    ----------
    templates
        Of all stacks of the stage.
    settings
        Of the stage: how often the sweep runs.
    """
    resources = [each for template in templates for each in template["Resources"].values()]
    kinds = Counter(each["Type"] for each in resources)
    rules = [len(each["Properties"].get("Rules", [])) for each in resources if each["Type"] == "AWS::WAFv2::WebACL"]
    alarms = [_metrics(each["Properties"]) for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
    sweeps = _MINUTES_A_MONTH / settings.recalculation_minutes
    queues = kinds["AWS::Lambda::EventSourceMapping"]
    return {
        prices.ALARM_METRIC: (f"{len(alarms)} alarms on {sum(alarms)} metrics", sum(alarms)),
        prices.DASHBOARD: ("dashboards", kinds["AWS::CloudWatch::Dashboard"]),
        prices.KEY: ("customer's keys", kinds["AWS::KMS::Key"]),
        prices.SECRET: ("signing keys", kinds["AWS::SecretsManager::Secret"]),
        prices.WEB_ACL: ("web firewall", kinds["AWS::WAFv2::WebACL"]),
        prices.WEB_RULE: ("its rules", sum(rules)),
        prices.QUEUE_REQUEST: ("Lambda asking for transactions", queues * _POLLS_A_MINUTE * _MINUTES_A_MONTH),
        prices.SCHEDULE_CALL: ("sweeps", sweeps),
        prices.LAMBDA_REQUEST: ("sweeps", sweeps),
        prices.LAMBDA_DURATION: ("sweeps", sweeps * _SWEEP_SECONDS * 0.5),
        prices.READ_UNIT: ("sweeps", sweeps * _SWEEP_READ_UNITS),
    }


def synthesised(settings: StageSettings) -> list[Template]:
    """Return the templates of a stage, its packages not built. Takes some ten seconds, and Node."""
    from aws_cdk import App  # noqa: PLC0415 - starts Node

    from infra.app import build  # noqa: PLC0415 - as above

    context = json.loads((_ROOT / "cdk.json").read_text("utf-8"))["context"]
    with TemporaryDirectory() as directory:
        app = App(context={**context, "aws:cdk:bundling-stacks": []}, outdir=directory)
        build(app, settings)
        app.synth()
        return list(_templates(Path(directory)))


def _templates(directory: Path) -> Iterator[Template]:
    for file in sorted(directory.glob("*.template.json")):
        yield json.loads(file.read_text("utf-8"))


def _metrics(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics an alarm looks at: each is billed."""
    return sum("MetricStat" in each for each in alarm.get("Metrics", ())) or 1
