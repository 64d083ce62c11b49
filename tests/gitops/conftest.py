import pytest

from tests.gitops.server import serve

git_server = pytest.fixture(serve, name="git_server")
