"""The examples of the library run as they are, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORK = EXAMPLES / "my_network.py"
TOUR = EXAMPLES / "tour.ipynb"


def test_a_network_of_ones_own_is_compared_in_thirty_lines() -> None:
    assert len(NETWORK.read_text().splitlines()) <= 30
    ended = subprocess.run(
        [sys.executable, str(NETWORK)], capture_output=True, text=True, check=False, timeout=110
    )
    assert ended.returncode == 0, ended.stderr
    means, _ = ended.stdout.split("First minus second")
    for name in ("dense", "topk", "regtopk"):
        (row,) = [line for line in means.splitlines() if line.split()[:1] == [name]]
        assert len(re.findall(r"\d±\d", row)) >= 2, row  # loss and accuracy with their intervals
    assert "5 seeds" in ended.stdout


def executed(notebook: Any, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        from nbclient import NotebookClient

        return NotebookClient(
            notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outputs of each code cell by its name."""
    notebook = nbformat.read(TOUR, as_version=4)
    cells = executed(notebook, tmp_path_factory.mktemp("tour")).cells
    return {cell.id: cell.outputs for cell in cells if cell.cell_type == "code"}


def html(outputs: Any) -> str:
    return "".join(each.get("data", {}).get("text/html", "") for each in outputs)


def test_the_notebook_is_small_and_stored_without_outputs() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    assert TOUR.stat().st_size < 10_000
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_tour_shows_tables_and_a_plot(tour: dict[str, Any]) -> None:
    assert "<th>regtopk</th>" in html(tour["frame"])
    for name in ("load", "compare", "train", "seeds"):
        assert html(tour[name]).count("<tr") > 2, name
    assert any("image/png" in each.get("data", {}) for each in tour["plot"])
    assert "regtopk" in html(tour["compare"])
