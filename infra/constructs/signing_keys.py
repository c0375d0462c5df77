"""The secret that tokens are signed with."""

from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.encryption import READ, EncryptionKey, allow, removal_policy
from infra.constructs.findings import acknowledge
from infra.settings import StageSettings

FIELD: Final = "JwtSecret"
_CHARACTERS: Final = 64  # of letters and digits: 381 bits, above the 256 of HS256


class SigningKeys(Construct):
    """`{"JwtSecret": ...}` in Secrets Manager, made by the stack and read when the authorizer runs.

    The authorizer accepts what is signed with the current version or the one before it. To rotate it put a new version
    (`aws secretsmanager put-secret-value`), let the identity provider sign with it, and put another when the last
    token of the old one has expired.
    """

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, encryption: EncryptionKey) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self.secret = secretsmanager.Secret(
            self,
            "Secret",
            description=f"{settings.prefix}: what tokens of the API are signed with",
            encryption_key=encryption.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106 - what the secret is put into
                generate_string_key=FIELD,
                password_length=_CHARACTERS,
                exclude_punctuation=True,
            ),
            removal_policy=removal_policy(settings),
        )
        acknowledge(
            self.secret,
            "The identity provider signs with it: it is rotated with the provider, not by itself.",
            "AwsSolutions-SMG4",
        )

    @property
    def secret_id(self) -> str:
        """The secret's ARN."""
        return self.secret.secret_arn

    def allow_read(self, grantee: iam.IGrantable) -> None:
        """Let `grantee` read both versions."""
        allow(grantee, ["secretsmanager:GetSecretValue"], [self.secret_id])
        self._encryption.allow(grantee, "secretsmanager", READ)
