"""What ``[kafka]`` in the cluster's file says: where the brokers are, what topics are called, how links are protected.

User name and password are secrets, so they are not in the file: they come from ``TALLY_KAFKA_USERNAME`` and
``TALLY_KAFKA_PASSWORD`` in the environment of ``tally exporter`` and ``tally ingress``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

USERNAME_VARIABLE: Final = "TALLY_KAFKA_USERNAME"
PASSWORD_VARIABLE: Final = "TALLY_KAFKA_PASSWORD"

PLAINTEXT: Final = "plaintext"
TLS: Final = "tls"
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaCredentialsMissing(Exception):
    """The file asks for SASL and the environment does not say as whom."""


@dataclass(frozen=True)
class KafkaSettings:
    """``bootstrap_servers`` are ``host:port``. ``sasl_mechanism`` "" means without user and password.

    ``replication_factor`` and ``min_insync_replicas`` are those of topics that we create, and the least that we accept
    of one that is there. ``command_age_s_max`` is how long after its signature a command from Kafka is still taken.
    """

    bootstrap_servers: tuple[str, ...]
    topic_prefix: str = "tallystick"
    replication_factor: int = 3
    min_insync_replicas: int = 2
    security: str = PLAINTEXT
    ca_file: Path | None = None
    sasl_mechanism: str = ""
    command_age_s_max: int = 300

    def event_topic(self, group: str) -> str:
        """Every committed entry of a market group."""
        return f"{self.topic_prefix}.events.{group}"

    def command_topic(self, group: str) -> str:
        """Signed commands of modules outside the core."""
        return f"{self.topic_prefix}.commands.{group}"

    def refused_topic(self, group: str) -> str:
        """Those of them that were not executed, with the reason."""
        return f"{self.command_topic(group)}.refused"


def client_options(settings: KafkaSettings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What every client of kafka-python is made with: brokers, encryption, user. KafkaCredentialsMissing."""
    encrypted = settings.security == TLS
    options: dict[str, Any] = {"bootstrap_servers": list(settings.bootstrap_servers)}
    if encrypted and settings.ca_file is not None:
        options["ssl_cafile"] = str(settings.ca_file)
    if not settings.sasl_mechanism:
        return options | {"security_protocol": "SSL" if encrypted else "PLAINTEXT"}
    username, password = environ.get(USERNAME_VARIABLE), environ.get(PASSWORD_VARIABLE)
    if not username or not password:
        raise KafkaCredentialsMissing(
            f"kafka.sasl_mechanism is {settings.sasl_mechanism}: set {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}"
        )
    return options | {
        "security_protocol": "SASL_SSL" if encrypted else "SASL_PLAINTEXT",
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }
