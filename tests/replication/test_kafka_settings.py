from pathlib import Path

import pytest

from replication.kafka_settings import KafkaCredentialsMissing, KafkaSettings, client_options

SERVERS = ("kafka-1:9092", "kafka-2:9092")


def test_topics_are_named_by_what_they_carry_and_by_the_group() -> None:
    settings = KafkaSettings(SERVERS, topic_prefix="exchange.test")
    assert settings.event_topic("main") == "exchange.test.events.main"
    assert settings.command_topic("main") == "exchange.test.commands.main"
    assert settings.refused_topic("main") == "exchange.test.commands.main.refused"


def test_clients_speak_plainly_unless_they_are_told_otherwise() -> None:
    assert client_options(KafkaSettings(SERVERS), {}) == {
        "bootstrap_servers": ["kafka-1:9092", "kafka-2:9092"],
        "security_protocol": "PLAINTEXT",
    }


def test_tls_and_a_user_reach_the_client_and_the_password_comes_from_the_environment() -> None:
    settings = KafkaSettings(SERVERS, security="tls", ca_file=Path("/ca.crt"), sasl_mechanism="SCRAM-SHA-512")
    environ = {"TALLY_KAFKA_USERNAME": "tally", "TALLY_KAFKA_PASSWORD": "secret"}
    assert client_options(settings, environ) == {
        "bootstrap_servers": ["kafka-1:9092", "kafka-2:9092"],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": "/ca.crt",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "tally",
        "sasl_plain_password": "secret",
    }


def test_a_user_without_a_password_is_refused_before_anything_is_dialled() -> None:
    settings = KafkaSettings(SERVERS, sasl_mechanism="PLAIN")
    with pytest.raises(KafkaCredentialsMissing, match="set TALLY_KAFKA_USERNAME and TALLY_KAFKA_PASSWORD"):
        client_options(settings, {"TALLY_KAFKA_USERNAME": "tally"})
