"""The REST API: the routes as they are registered, an authorizer in front, problems as answers of its own."""

import json
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.findings import acknowledge
from infra.constructs.functions import Function, log_retention
from infra.constructs.web_firewall import WebFirewall
from infra.settings import StageSettings
from workflows.triggers.api.gateway_responses import GATEWAY_RESPONSES
from workflows.triggers.routes import ROUTES, Route

STAGE: Final = "v1"
AUTHORIZATION_SECONDS: Final = 300
_INTEGRATION_SECONDS: Final = 29

# Who did what, and what became of it: no token, no query, no body.
_ACCESS_LOG: Final = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "response_bytes": "$context.responseLength",
    "milliseconds": "$context.responseLatency",
    "integration_milliseconds": "$context.integrationLatency",
    "subject": "$context.authorizer.principalId",
    "client_id": "$context.authorizer.client_id",
    "error": "$context.error.responseType",
    "trace": "$context.xrayTraceId",
}


class Api(Construct):
    """The API.

    Parameters
    ----------
    handler
        Answers every route.
    authorizer
        Verifies tokens; its answer is kept for `AUTHORIZATION_SECONDS`.

    Attributes
    ----------
    api, access_log
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        handler: Function,
        authorizer: Function,
    ) -> None:
        super().__init__(scope, construct_id)
        self.access_log = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/aws/vendedlogs/apigateway/{settings.prefix}",
            retention=log_retention(settings),
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        self.api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=settings.prefix,
            description="Performance of portfolios, accounts and securities",
            endpoint_configuration=apigateway.EndpointConfiguration(types=[apigateway.EndpointType.REGIONAL]),
            # It belongs to the account and region, not to one API: it stays when this one goes.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                access_log_destination=apigateway.LogGroupLogDestination(self.access_log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                metrics_enabled=True,
                tracing_enabled=True,
                throttling_rate_limit=settings.throttle_rate,
                throttling_burst_limit=settings.throttle_burst,
            ),
        )
        self._authorizer = apigateway.TokenAuthorizer(
            self,
            "Authorizer",
            handler=authorizer.alias,
            results_cache_ttl=Duration.seconds(AUTHORIZATION_SECONDS),
        )
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        # That it is an object. What is wrong within, the function says in full; a schema here would say only that.
        self._object = self.api.add_model(
            "JsonObject", schema=apigateway.JsonSchema(type=apigateway.JsonSchemaType.OBJECT)
        )
        integration = apigateway.LambdaIntegration(
            handler.alias,
            proxy=True,
            timeout=Duration.seconds(_INTEGRATION_SECONDS),
            allow_test_invoke=False,
            scope_permission_to_method=False,  # one permission for the API in place of one for each route
        )
        for route in ROUTES:
            self._add(route, integration)
        for name, response in GATEWAY_RESPONSES.items():
            self.api.add_gateway_response(
                name,
                type=apigateway.ResponseType.of(name),
                status_code=str(response.status),
                response_headers={header: f"'{value}'" for header, value in response.headers.items()},
                templates={"application/json": response.template},
            )
        if settings.web_firewall:
            WebFirewall(self, "WebFirewall", settings, self.api.deployment_stage)
        else:
            acknowledge(
                self.api.deployment_stage,
                "This stage chose to do without WAF; requests are authorized, validated and throttled.",
                "AwsSolutions-APIG3",
            )
        self._acknowledge()
        self.api.node.try_remove_child("Endpoint")  # an output of a name that nobody chose

    def _add(self, route: Route, integration: apigateway.LambdaIntegration) -> None:
        open_to_all = route.role is None
        method = self.api.root.resource_for_path(route.path).add_method(
            route.method,
            integration,
            authorization_type=apigateway.AuthorizationType.NONE
            if open_to_all
            else apigateway.AuthorizationType.CUSTOM,
            authorizer=None if open_to_all else self._authorizer,
            request_validator=self._validator,
            request_models={"application/json": self._object} if route.method == "POST" else None,
        )
        if open_to_all:
            acknowledge(
                method,
                "Whether it is up, and how it is called, is for everybody to know.",
                "AwsSolutions-APIG4",
                "AwsSolutions-COG4",
            )
        else:
            acknowledge(
                method,
                "Tokens are of the customers' own identity provider, and verified by the authorizer.",
                "AwsSolutions-COG4",
            )

    def _acknowledge(self) -> None:
        acknowledge(
            self.api,
            "AWS gives this policy, for API Gateway to write its logs with; an account has one such role.",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
        )
