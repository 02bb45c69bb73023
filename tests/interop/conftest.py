from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="session")
def app_dir() -> Path:
    return APPS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """That both builds behave alike, the other tests show; here it is others' programs that may differ."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("once")
