"""Manifests that are uploaded start runs."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.constructs.buckets import UploadBucket
from infra.constructs.functions import Function
from infra.constructs.queues import PrivateQueue

_RETRIES: Final = 10
_MAX_AGE: Final = Duration.hours(6)


class ManifestRule(Construct):
    """A rule on objects below `manifests/` of the upload bucket."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        uploads: UploadBucket,
        function: Function,
        undelivered: PrivateQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.rule = events.Rule(
            self,
            "Rule",
            description="Manifests that clients have uploaded",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [uploads.name]}, "object": {"key": [{"prefix": uploads.MANIFESTS}]}},
            ),
        )
        self.rule.add_target(
            targets.LambdaFunction(
                function.alias,
                dead_letter_queue=undelivered.queue,
                retry_attempts=_RETRIES,
                max_event_age=_MAX_AGE,
            )
        )
