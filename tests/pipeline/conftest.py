from __future__ import annotations

import pytest

from tests.pipeline.deploying import Account, open_account
from tests.pipeline.toy_flow import detector_trainings, toy_flow  # noqa: F401  # fixtures


@pytest.fixture(scope="session")
def account(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """What must exist for flows to be deployed, on a server of our own."""
    return open_account(s3_server, tmp_path_factory.mktemp("home"))
