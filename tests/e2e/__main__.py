"""`python -m tests.e2e --stage dev --yes`: the example on AWS and on this machine, compared; costs money.

Deploys a stage to the account of the AWS configuration, runs the example there by `perfcalc --stack`, runs it here,
compares every stored metric, and destroys the stage. It is for people with an account and never part of a test run.
Nobody has run it against AWS yet: its comparison has unit tests, and all of it but the two calls of `cdk` runs in a
test against the synthesised templates in moto (`tests/infra/test_end_to_end.py`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.settings import STAGES
from tests.e2e.flow import Answer, EndToEndError, end_to_end

ROOT = Path(__file__).parents[2]
REQUEST = ROOT / "examples" / "build" / "market.json"
MARKET = ROOT / "examples" / "build_market.py"


class Commands:
    """The steps as processes.

    Parameters
    ----------
    stage
        Of `infra.settings`.
    profile, region
        Of the AWS configuration; None is the environment's.
    context
        What is told to `cdk` as `--context`, such as `time_series_store=none`.
    """

    def __init__(self, stage: str, profile: str | None, region: str | None, context: Sequence[str]) -> None:
        self._context = [word for each in (f"stage={stage}", *context) for word in ("--context", each)]
        self._profile = ["--profile", profile] if profile else []
        self._environment = {**os.environ, **({"AWS_REGION": region} if region else {})}

    def deploy(self) -> None:
        """Deploy all stacks; what they may do is not asked for again, `--yes` was given."""
        self._cdk("deploy", "--all", "--require-approval", "never")

    def destroy(self) -> None:
        """Destroy all stacks."""
        self._cdk("destroy", "--all", "--force")

    def perfcalc(self, *arguments: str) -> Answer:
        """Run `perfcalc` of this environment."""
        command = [sys.executable, "-m", "workflows.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        return Answer(done.returncode, done.stdout, done.stderr)

    def _cdk(self, *arguments: str) -> None:
        command = ["node_modules/.bin/cdk", *arguments, *self._context, *self._profile]
        done = subprocess.run(command, cwd=ROOT, check=False, env=self._environment)
        if done.returncode:
            raise EndToEndError(f"{' '.join(command)} ended with {done.returncode}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where both runs are the same, 1 where they differ or a step failed, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=(__doc__ or "").partition("\n")[0])
    destroyed = sorted(name for name, settings in STAGES.items() if not settings.keep_data)
    parser.add_argument("--stage", required=True, choices=destroyed, help="one that keeps no data: it is destroyed")
    parser.add_argument("--yes", action="store_true", help="you know that this deploys, costs money and destroys")
    parser.add_argument("--keep", action="store_true", help="leave the stage where it is")
    parser.add_argument("--profile", help="of the AWS configuration")
    parser.add_argument("--region")
    parser.add_argument("--context", action="append", default=[], metavar="NAME=VALUE", help="for cdk")
    chosen = parser.parse_args(arguments)
    if not chosen.yes:
        parser.error("deploys to an AWS account, costs money and destroys the stage in the end: say --yes")
    if not REQUEST.exists():
        subprocess.run([sys.executable, MARKET], check=True, cwd=ROOT)
    options = ["--stack", STAGES[chosen.stage].prefix]
    options += ["--profile", chosen.profile] if chosen.profile else []
    options += ["--region", chosen.region] if chosen.region else []
    commands = Commands(chosen.stage, chosen.profile, chosen.region, chosen.context)
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = end_to_end(commands, elsewhere=options, request=REQUEST, data_dir=Path(directory), keep=chosen.keep)
    except EndToEndError as error:
        print(error, file=sys.stderr)
        return 1
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
