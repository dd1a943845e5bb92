import runpy
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fakes() -> dict[str, Any]:
    """Functions that build a small invented result."""
    return runpy.run_path(str(Path(__file__).with_name("fakes.py")))


@pytest.fixture
def results(fakes: dict[str, Any]) -> Any:
    return fakes["fake_results"]()
