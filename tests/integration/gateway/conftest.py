"""Fixtures of the gateway's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.valkey import Valkey, running_valkey


@pytest.fixture
async def gw(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway over fake services."""
    async with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A real Valkey."""
    with running_valkey(tmp_path) as running:
        yield running
