from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of noise, 20 images each, to train on, and 4 each to test with."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 4)):
        for name in ("dark", "light"):
            home = tmp_path / "images" / part / name
            home.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 128, (32, 32, 3)) + 127 * (name == "light")
                Image.fromarray(pixels.astype(np.uint8)).save(home / f"{number}.png")
    return tmp_path / "images"
