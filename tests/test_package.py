"""The shape of the package: its public names, and the direction of its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import regtopk_bench as rb

ROOT = Path(rb.__file__).parent

# Data flows this way; a module imports only from its own layer and those before it.
LAYERS = (
    "errors",
    "files",
    "threads",
    "kernels",
    "sparsify",
    "workloads",
    "transport",
    "training",
    "timing",
    "results",
    "report",
    "settings",
    "cli",
)
# The settings and the results of a command do not know each other.
FORBIDDEN = {("settings", layer) for layer in LAYERS[3:11]}
FORBIDDEN |= {("workloads", "sparsify"), ("workloads", "kernels"), ("transport", "workloads")}


def test_public_names() -> None:
    assert rb.__all__ == sorted(rb.__all__, key=str.lower) or rb.__all__ == sorted(rb.__all__)
    assert set(rb.__all__) == {
        "Checkpoints",
        "ConfigurationError",
        "Dense",
        "InterruptedRun",
        "LinearRegression",
        "LogisticToy",
        "NonFiniteGradientError",
        "Oracle",
        "PerLayer",
        "RandomK",
        "RegTopK",
        "RegtopkBenchError",
        "RoundInfo",
        "RunError",
        "Schedule",
        "SparseGradient",
        "Sparsifier",
        "TopK",
        "Trace",
        "WorkerDiedError",
        "Workload",
        "aggregate",
        "simulate",
    }
    for name in rb.__all__:
        assert getattr(rb, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'Topk'"):
        _ = rb.Topk  # type: ignore[attr-defined]


def imports_of(path: Path) -> set[str]:
    """Return the modules of this package that a file imports anywhere, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("regtopk_bench.")}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_follow_the_data(layer: str) -> None:
    home = ROOT / layer
    files = sorted(home.rglob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
    assert files
    for file in files:
        for name in imports_of(file):
            used = name.split(".")[1]
            if used not in LAYERS:
                continue  # a public name, resolved lazily
            if file.name == "errors.py":
                assert used == "training", "only for the type of a trace"
                continue
            assert LAYERS.index(used) <= LAYERS.index(layer), f"{file} imports {name}"
            assert (layer, used) not in FORBIDDEN, f"{file} imports {name}"


@pytest.mark.parametrize("layer", ["kernels", "sparsify", "workloads", "transport", "training"])
def test_only_cli_and_report_print(layer: str) -> None:
    for file in (ROOT / layer).rglob("*.py"):
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls


def test_sparsifiers_know_nothing_of_processes() -> None:
    for file in (ROOT / "sparsify").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not any(word in source for word in ("multiprocessing", "subprocess", "open("))


@pytest.mark.parametrize("statement", ["import regtopk_bench", "import regtopk_bench.cli.main"])
def test_importing_does_not_import_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
