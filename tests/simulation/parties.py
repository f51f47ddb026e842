"""Who takes part: one fixed key for each purpose and party, made once for all worlds."""

import hashlib
from functools import cache

from cloud.keys import CloudKeys
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.topics import TopicTree

UTILITY = "hillside"
TREE = TopicTree(UTILITY)


@cache
def key_of(purpose: Purpose, party: str) -> SigningKey:
    """Return the key of a party."""
    seed = hashlib.sha256(f"simulated {purpose.value} {party}".encode()).digest()
    return SigningKey(seed, purpose=purpose, party=party)


@cache
def cloud_keys() -> CloudKeys:
    """Return what the cloud signs with."""
    return CloudKeys(
        ack=key_of(Purpose.CLOUD_ACK, "cloud"),
        command=key_of(Purpose.CLOUD_COMMAND, "cloud"),
        credit=key_of(Purpose.CLOUD_CREDIT, "cloud"),
    )


@cache
def trusted() -> PinnedKeys:
    """Return what gateways trust."""
    keys = cloud_keys()
    return PinnedKeys((keys.ack.public, keys.command.public, keys.credit.public))


def gateway_names(count: int) -> list[str]:
    """Return the names of a world's gateways."""
    return [f"gw-{number}" for number in range(1, count + 1)]


def client_names(count: int) -> list[str]:
    """Return the names of a world's integrators."""
    return [f"client-{number}" for number in range(1, count + 1)]
