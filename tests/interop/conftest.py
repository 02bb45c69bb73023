from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="session")
def app_dir() -> Path:
    return APPS
