"""Run the workflow tests against any Step Functions endpoint: see docs/other-engines.md."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import boto3
from botocore.awsrequest import AWSRequest

from workflows.definitions import render
from workflows.executions import ExecutionClient
from workflows.local.engine import ROLE_ARN
from workflows.local.lambda_host import LambdaHost, function_arn
from workflows.registry import TASKS

ENDPOINT = os.environ.get("PERFCALC_STEPFUNCTIONS_ENDPOINT")
LAMBDA_PORT = int(os.environ.get("PERFCALC_LAMBDA_PORT", "3001"))
STARTED_WITH = {
    "LAMBDA_ENDPOINT": f"http://127.0.0.1:{LAMBDA_PORT}",
    "SQS_ENDPOINT": "http://127.0.0.1:9324",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCOUNT_ID": "123456789012",
}
"""What Step Functions Local reads when it starts."""


@contextmanager
def executions_elsewhere(endpoint: str, host: LambdaHost, placeholders: Mapping[str, str]) -> Iterator[ExecutionClient]:
    """Put the definition into the engine at `endpoint`, which finds the functions of `host` on the loopback."""
    client = boto3.client("stepfunctions", endpoint_url=endpoint)
    definition = render("performance-calculation", {name: function_arn(name) for name in TASKS} | dict(placeholders))
    # A name of its own: the engine outlives the test, and an execution of the same request would be found there.
    name = f"performance-calculation-{uuid4().hex[:12]}"
    arn = client.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)["stateMachineArn"]
    with _lambda_endpoint(host):
        yield ExecutionClient(client, arn, poll_seconds=0.2)


@contextmanager
def _lambda_endpoint(host: LambdaHost) -> Iterator[None]:
    class Invoke(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            answer = host.answer(AWSRequest("POST", f"http://lambda{self.path}", data=body).prepare())
            content = answer.content
            self.send_response(answer.status_code)
            for header, value in answer.headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", LAMBDA_PORT), Invoke) as server:
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()
