"""Fixtures that the tests of this room share."""

import pytest
from net_runs import NETS


@pytest.fixture
def nets(cli, tmp_path):
    (tmp_path / "net.py").write_text(NETS)
    return tmp_path
