"""The device and client of these tests."""

import pytest

from tests.unit.dlms.server import shelf


@pytest.fixture
def make_rig() -> shelf.MakeRig:
    return shelf.make_rig
