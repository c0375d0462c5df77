"""List prices of us-east-1 in USD, without free tiers and discounts."""

from dataclasses import dataclass
from typing import Final

from infra.capacity.evidence import Evidence

_PRICING = "https://aws.amazon.com/{}/pricing/"
_STEP_FUNCTIONS = _PRICING.format("step-functions")
_LAMBDA = _PRICING.format("lambda")
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_TIMESTREAM = _PRICING.format("timestream")
_S3 = _PRICING.format("s3")
_CLOUDWATCH = _PRICING.format("cloudwatch")
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """What AWS asks for one unit of something.

    Attributes
    ----------
    service
        Under which it stands in a bill.
    what
        What is paid for.
    unit
        What `usd` buys one of.
    usd
    page
        Where AWS publishes it.
    evidence
        How well it is known.
    """

    service: str
    what: str
    unit: str
    usd: float
    page: str
    evidence: Evidence

    def of(self, quantity: float) -> float:
        """Return what `quantity` units cost."""
        return self.usd * quantity


TRANSITION: Final = Price(
    "Step Functions",
    "state transition, Standard",
    "transition",
    25.00 / _MILLION,
    _STEP_FUNCTIONS,
    Evidence.SECONDARY,
)
EXPRESS_REQUEST: Final = Price(
    "Step Functions", "execution begun, Express", "execution", 1.00 / _MILLION, _STEP_FUNCTIONS, Evidence.PAGE
)
# The first 1,000 GB-hours of a month; the next 4,000 are half of it, and a run of millions stays below.
EXPRESS_DURATION: Final = Price(
    "Step Functions", "duration, Express", "GB-second", 0.06 / 3600, _STEP_FUNCTIONS, Evidence.PAGE
)
LAMBDA_REQUEST: Final = Price("Lambda", "call", "call", 0.20 / _MILLION, _LAMBDA, Evidence.SECONDARY)
# Since August 2025 the initialisation of an environment is billed like a call.
LAMBDA_DURATION: Final = Price("Lambda", "duration, arm64", "GB-second", 0.0000133334, _LAMBDA, Evidence.SECONDARY)
WRITE_UNIT: Final = Price("DynamoDB", "write, 1 KB", "unit", 0.625 / _MILLION, _DYNAMODB, Evidence.SECONDARY)
READ_UNIT: Final = Price("DynamoDB", "read, 4 KB", "unit", 0.125 / _MILLION, _DYNAMODB, Evidence.SECONDARY)
TABLE_STORAGE: Final = Price("DynamoDB", "storage", "GB-month", 0.25, _DYNAMODB, Evidence.UNVERIFIED)
TABLE_BACKUP: Final = Price("DynamoDB", "point-in-time recovery", "GB-month", 0.20, _DYNAMODB, Evidence.UNVERIFIED)
TIMESTREAM_WRITE: Final = Price("Timestream", "write, 1 KiB", "write", 0.50 / _MILLION, _TIMESTREAM, Evidence.SECONDARY)
TIMESTREAM_MEMORY: Final = Price("Timestream", "memory store", "GB-hour", 0.036, _TIMESTREAM, Evidence.SECONDARY)
TIMESTREAM_MAGNETIC: Final = Price("Timestream", "magnetic store", "GB-month", 0.03, _TIMESTREAM, Evidence.SECONDARY)
S3_PUT: Final = Price("S3", "PUT", "request", 0.005 / 1000, _S3, Evidence.UNVERIFIED)
S3_GET: Final = Price("S3", "GET", "request", 0.0004 / 1000, _S3, Evidence.UNVERIFIED)
LOG_INGESTION: Final = Price("CloudWatch", "logs taken in", "GB", 0.50, _CLOUDWATCH, Evidence.SECONDARY)
ALARM_METRIC: Final = Price("CloudWatch", "metric of an alarm", "month", 0.10, _CLOUDWATCH, Evidence.UNVERIFIED)
DASHBOARD: Final = Price("CloudWatch", "dashboard", "month", 3.00, _CLOUDWATCH, Evidence.SECONDARY)
CUSTOM_METRIC: Final = Price("CloudWatch", "metric of a log filter", "month", 0.30, _CLOUDWATCH, Evidence.SECONDARY)
TRACE: Final = Price(
    "X-Ray", "trace recorded", "trace", 5.00 / _MILLION, "https://aws.amazon.com/xray/pricing/", Evidence.UNVERIFIED
)
KEY: Final = Price("KMS", "key", "month", 1.00, _PRICING.format("kms"), Evidence.SECONDARY)
SECRET: Final = Price(
    "Secrets Manager", "secret", "month", 0.40, _PRICING.format("secrets-manager"), Evidence.UNVERIFIED
)
WEB_ACL: Final = Price("WAF", "web ACL", "month", 5.00, _PRICING.format("waf"), Evidence.UNVERIFIED)
WEB_RULE: Final = Price("WAF", "rule or managed group", "month", 1.00, _PRICING.format("waf"), Evidence.UNVERIFIED)
QUEUE_REQUEST: Final = Price("SQS", "request", "request", 0.40 / _MILLION, _PRICING.format("sqs"), Evidence.UNVERIFIED)
SCHEDULE_CALL: Final = Price(
    "EventBridge", "call by a schedule", "call", 1.00 / _MILLION, _PRICING.format("eventbridge"), Evidence.UNVERIFIED
)

PRICES: Final = (
    TRANSITION,
    EXPRESS_REQUEST,
    EXPRESS_DURATION,
    LAMBDA_REQUEST,
    LAMBDA_DURATION,
    WRITE_UNIT,
    READ_UNIT,
    TABLE_STORAGE,
    TABLE_BACKUP,
    TIMESTREAM_WRITE,
    TIMESTREAM_MEMORY,
    TIMESTREAM_MAGNETIC,
    S3_PUT,
    S3_GET,
    LOG_INGESTION,
    ALARM_METRIC,
    DASHBOARD,
    CUSTOM_METRIC,
    TRACE,
    KEY,
    SECRET,
    WEB_ACL,
    WEB_RULE,
    QUEUE_REQUEST,
    SCHEDULE_CALL,
)
"""All of them, in the order of the table."""
