"""Installations for end-to-end tests: made as a test plans them, killed when it ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.rig.installation import Install, Installation, Plan


@pytest.fixture
async def lay_out(tmp_path: Path) -> AsyncIterator[Install]:
    """Lay out an installation, of which nothing runs yet."""
    made: list[Installation] = []

    async def make(plan: Plan) -> Installation:
        folder = tmp_path / f"installation-{len(made)}"
        folder.mkdir()
        installation = Installation(folder, plan)
        made.append(installation)
        await installation.lay_out()
        return installation

    yield make
    for installation in made:
        installation.close()


@pytest.fixture
async def install(lay_out: Install) -> Install:
    """Lay out an installation and start all of it; the gateways last, so that their first hello is heard."""

    async def make(plan: Plan) -> Installation:
        installation = await lay_out(plan)
        await installation.start()
        return installation

    return make
