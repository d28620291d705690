"""A set of the picture world, drawn once, and a server of its own."""

import pytest

from labkit.pairs.world import write_world
from tests.pairs.server import Museum


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The folder of a set of 6 pictures."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, 6)
    return folder


@pytest.fixture
def museum(world):
    server = Museum(world)
    yield server
    server.close()
