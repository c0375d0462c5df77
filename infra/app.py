"""The app: `cdk deploy --all -c stage=prod`."""

from dataclasses import dataclass

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra.settings import APPLICATION, StageSettings
from infra.stacks import EntryStack, MonitoringStack, StorageStack, TimeSeriesStack, WorkflowStack


@dataclass(frozen=True, slots=True)
class Deployment:
    """The stacks of a stage; `time_series` is None where the stage has none."""

    settings: StageSettings
    storage: StorageStack
    time_series: TimeSeriesStack | None
    workflow: WorkflowStack
    entry: EntryStack
    monitoring: MonitoringStack


def build(app: App, settings: StageSettings) -> Deployment:
    """Add the stacks of a stage to `app`, tagged, and have them checked when it is synthesised."""
    prefix = settings.prefix
    storage = StorageStack(app, f"{prefix}-storage", settings)
    time_series = (
        TimeSeriesStack(app, f"{prefix}-time-series", settings) if settings.time_series_store == "timestream" else None
    )
    workflow = WorkflowStack(app, f"{prefix}-workflow", settings, storage=storage, time_series=time_series)
    entry = EntryStack(app, f"{prefix}-entry", settings, storage=storage, time_series=time_series, workflow=workflow)
    monitoring = MonitoringStack(app, f"{prefix}-monitoring", settings, storage=storage, workflow=workflow, entry=entry)
    for name, value in {
        "application": APPLICATION,
        "stage": settings.stage,
        "cost-centre": settings.cost_centre,
    }.items():
        Tags.of(app).add(name, value)
    check(app)
    return Deployment(settings, storage, time_series, workflow, entry, monitoring)


def check(app: App) -> None:
    """Let the synthesis fail where cdk-nag finds what nobody has acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def main() -> None:
    """Synthesise the stage that the context names."""
    app = App()
    build(app, StageSettings.from_context(app.node.try_get_context))
    app.synth()


if __name__ == "__main__":
    main()
