from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from regtopk_bench.cli.main import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call the command line in this process; the result has exit_code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "80")
    runner = CliRunner()

    def call(*arguments: str) -> Any:
        return runner.invoke(app, arguments)

    return call
