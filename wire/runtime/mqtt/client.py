"""A paho client made for one connection, and its blocking connect.

Only what concerns paho's own interface: options, properties, the text of its errors. Who calls when is the link's
business.
"""

from logging import ERROR, Handler, Logger, LogRecord

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from wire.runtime.mqtt.config import MqttConfig, read_password, ssl_context

PACKET_OVERHEAD_BYTES = 2_048
"""Allowance for topic and properties above the payload in the largest packet we accept."""


class LastError(Handler):
    """Keeps the text of paho's last error, which its callbacks leave out."""

    def __init__(self) -> None:
        super().__init__(ERROR)
        self.text = ""

    def emit(self, record: LogRecord) -> None:
        self.text = record.getMessage()


def make_client(config: MqttConfig, *, last_error: LastError) -> Client:
    """Return a client without callbacks that neither reconnects nor acknowledges by itself."""
    is_v5 = config.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=config.client_id,
        clean_session=None if is_v5 else config.clean_start,
        protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = config.connect_timeout_s
    client.max_inflight_messages = config.publish_window
    client.max_queued_messages = config.publish_window
    # Of this connection alone: the text of its error must not reach another, nor the process-wide log.
    logger = Logger("paho", ERROR)  # noqa: LOG001
    logger.addHandler(last_error)
    client.enable_logger(logger)
    if config.will is not None:
        client.will_set(config.will.topic, config.will.payload, qos=1)
    return client


def connect(client: Client, config: MqttConfig) -> None:
    """Read the files, resolve, connect, shake hands and queue CONNECT; blocks.

    Raises:
        ConfigError: A file of ours cannot be used.
        OSError: No connection.
        ValueError: The host is no host name.
    """
    if config.tls is not None:
        client.tls_set_context(ssl_context(config.tls))
    if config.username:
        client.username_pw_set(config.username, read_password(config.password_file) if config.password_file else None)
    if config.protocol != "5":
        client.connect(config.host, config.port, config.keep_alive_s)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = config.session_expiry_s
    properties.ReceiveMaximum = config.intake_messages_max
    properties.MaximumPacketSize = config.payload_bytes_max + PACKET_OVERHEAD_BYTES
    client.connect(config.host, config.port, config.keep_alive_s, clean_start=config.clean_start, properties=properties)


def publish_properties(
    *, expiry_s: int | None, response_topic: str | None, correlation: bytes | None, content_type: str | None
) -> Properties | None:
    """Return the properties of a PUBLISH, None if there are none."""
    if (expiry_s, response_topic, correlation, content_type) == (None, None, None, None):
        return None  # making them costs paho more than the rest of a publish
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if response_topic is not None:
        properties.ResponseTopic = response_topic
    if correlation is not None:
        properties.CorrelationData = correlation
    if content_type is not None:
        properties.ContentType = content_type
    return properties
