"""The MQTT session that every process uses, over paho-mqtt on asyncio.

`session` is the whole of what an owner needs, with `config` and `events` beside it; `link` is one connection,
`intake` the bounded queue of received messages.
"""

from wire.runtime.mqtt.config import MqttConfig, TlsFiles, Will
from wire.runtime.mqtt.events import Cause, Connected, Event, Lost, SubscribeRefused
from wire.runtime.mqtt.intake import Message
from wire.runtime.mqtt.session import MqttSession

__all__ = [
    "Cause",
    "Connected",
    "Event",
    "Lost",
    "Message",
    "MqttConfig",
    "MqttSession",
    "SubscribeRefused",
    "TlsFiles",
    "Will",
]
