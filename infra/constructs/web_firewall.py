"""AWS WAF in front of the API."""

from typing import Final

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.settings import StageSettings

REQUESTS_OF_AN_ADDRESS: Final = 2_000
"""Within five minutes; what exceeds them is answered 403."""

# Portfolios come with their histories: bodies are longer than the rule's 8 KB, and API Gateway has a limit of its own.
_NOT_BLOCKED: Final = ("SizeRestrictions_BODY",)


class WebFirewall(Construct):
    """Rules that AWS keeps up to date, and a limit for each address."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, stage: apigateway.Stage) -> None:
        super().__init__(scope, construct_id)
        rules = [
            _managed(0, "AWSManagedRulesAmazonIpReputationList"),
            _managed(1, "AWSManagedRulesKnownBadInputsRuleSet"),
            _managed(2, "AWSManagedRulesCommonRuleSet", counted=_NOT_BLOCKED),
            waf.CfnWebACL.RuleProperty(
                name="RequestsOfAnAddress",
                priority=3,
                action=waf.CfnWebACL.RuleActionProperty(block={}),
                statement=waf.CfnWebACL.StatementProperty(
                    rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                        limit=REQUESTS_OF_AN_ADDRESS, aggregate_key_type="IP"
                    )
                ),
                visibility_config=_visible("RequestsOfAnAddress"),
            ),
        ]
        self.acl = waf.CfnWebACL(
            self,
            "Acl",
            name=settings.prefix,
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            rules=rules,
            visibility_config=_visible("WebFirewall"),
        )
        waf.CfnWebACLAssociation(self, "OfApi", resource_arn=stage.stage_arn, web_acl_arn=self.acl.attr_arn)


def _managed(priority: int, name: str, *, counted: tuple[str, ...] = ()) -> waf.CfnWebACL.RuleProperty:
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
        statement=waf.CfnWebACL.StatementProperty(
            managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    waf.CfnWebACL.RuleActionOverrideProperty(
                        name=each, action_to_use=waf.CfnWebACL.RuleActionProperty(count={})
                    )
                    for each in counted
                ]
                or None,
            )
        ),
        visibility_config=_visible(name),
    )


def _visible(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True,
        metric_name=name,
        sampled_requests_enabled=False,  # a sample would keep headers, the token among them
    )
