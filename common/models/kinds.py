"""What has a performance, and how it is made."""

from enum import StrEnum


class EntityType(StrEnum):
    """What has a performance."""

    PORTFOLIO = "portfolio"
    ACCOUNT = "account"
    SECURITY = "security"


class CalculationMethod(StrEnum):
    """How a time-weighted return is made."""

    DAILY = "daily"
    MODIFIED_DIETZ = "modified_dietz"
