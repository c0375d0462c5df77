"""Findings of cdk-nag that are meant to be: each acknowledged where it is, with the reason."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reason: str, *ids: str) -> None:
    """Acknowledge findings of `construct` and what is in it, ids as `AwsSolutions-IAM5[Resource::*]`."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=each, reason=reason) for each in ids))
