"""The shape of the package: its public names, and who imports whom."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import regtopk_bench as rb

ROOT = Path(rb.__file__).parent

COMPUTE = (
    *("kernels", "messages", "sparsify", "workloads", "transport", "training", "distributed"),
    "timing",
)
DATA = ("trace", "algorithms", "network", "results", "report")
COMMAND = ("settings",)

# Whom each part may import, besides itself. Three strands (compute, data and command) meet in
# experiments and in cli; errors, with their base in misuse, extras, arguments, files, machine,
# memory, notebook, shared, interrupts, threads, the tables trace and algorithms, and the formulas
# of network are for all.
MAY_IMPORT = {
    "misuse": set(),
    "errors": {"misuse", "trace"},
    "extras": {"misuse"},
    "notebook": {"extras"},
    "files": {"errors"},
    "image_cache": {"errors"},
    "interrupts": set(),
    "arguments": {"errors"},
    "density": set(),
    "machine": set(),
    "memory": {"errors"},
    "shared": set(),
    "threads": set(),
    "trace": {"notebook"},
    "algorithms": {"errors"},
    "network": {"errors", "arguments"},
    "kernels": {"errors", "extras", "arguments"},
    "messages": {"errors", "arguments", "kernels"},
    "sparsify": {"errors", "arguments", "algorithms", "density", "kernels", "messages"},
    "workloads": {
        *("errors", "extras", "arguments", "files", "image_cache", "memory", "shared", "threads"),
    },
    "transport": {"errors", "interrupts", "shared"},
    "training": {
        *("errors", "arguments", "files", "threads", "trace"),
        *("kernels", "messages", "sparsify", "workloads", "transport"),
    },
    "distributed": {
        *("errors", "arguments", "messages", "sparsify", "transport", "training"),
    },
    "timing": {"errors", "arguments", "kernels"},
    "results": {"errors", "density", "files", "notebook", "trace", "algorithms", "network"},
    "report": {
        "errors",
        "extras",
        "files",
        "machine",
        "notebook",
        "trace",
        "algorithms",
        "network",
        "results",
    },
    "settings": {"errors", "arguments", "files", "algorithms", "network"},
    "gate": {"errors", "machine", "results", "settings"},
    "experiments": {
        *(
            "errors",
            "extras",
            "arguments",
            "files",
            "machine",
            "threads",
            "memory",
            "trace",
            "algorithms",
            "network",
        ),
        *COMPUTE,
        *("results", "settings"),
    },
    "cli": {
        "errors",
        "files",
        "image_cache",
        "interrupts",
        "threads",
        "memory",
        *COMPUTE,
        *DATA,
        *COMMAND,
        "gate",
        "experiments",
    },
    "__main__": {"errors", "cli"},
}


def test_public_names() -> None:
    assert rb.__all__ == sorted(rb.__all__, key=str.lower) or rb.__all__ == sorted(rb.__all__)
    assert set(rb.__all__) == {
        "Checkpoints",
        "ConfigurationError",
        "Dense",
        "DenseGradient",
        "InterruptedRun",
        "LinearRegression",
        "LogisticToy",
        "Message",
        "ModelWorkload",
        "NonFiniteGradientError",
        "Oracle",
        "PerLayer",
        "Placement",
        "RandomK",
        "RegTopK",
        "RegtopkBenchError",
        "RestartWarning",
        "Result",
        "RoundInfo",
        "Run",
        "RunError",
        "Schedule",
        "SparseGradient",
        "Sparsifier",
        "TopK",
        "Trace",
        "WorkerDiedError",
        "Workload",
        "__version__",
        "accuracy",
        "aggregate",
        "compare",
        "load",
        "save",
        "simulate",
        "simulate_seeds",
    }
    for name in rb.__all__:
        assert getattr(rb, name).__doc__
    code = "import regtopk_bench as rb, sys; sys.exit(not set(rb.__all__) <= set(dir(rb)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'Topk'"):
        _ = rb.Topk  # type: ignore[attr-defined]


def module_of(path: Path) -> str:
    """Return the dotted name of a file; a package's `__init__.py` has the name of the package."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> dict[str, Path]:
    return {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """Return the modules of this package that one imports anywhere, types only included."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules() else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(name for name in found if name in modules()) - {module}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_keep_to_their_strand(part: str) -> None:
    own = [module for module in modules() if part_of(module) == part]
    assert own
    for module in own:
        for used in imports_of(module):
            assert part_of(used) in {part, *MAY_IMPORT[part]}, f"{module} imports {used}"


def test_every_part_has_its_rule() -> None:
    assert {part_of(module) for module in modules()} - {""} == set(MAY_IMPORT)


def test_no_circle() -> None:
    """Neither between modules nor between parts; the lazy front door apart, which nobody enters."""
    graph = {module: imports_of(module) for module in modules() if module != "regtopk_bench"}
    assert not any("regtopk_bench" in used for used in graph.values())
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()


@pytest.mark.parametrize("part", [part for part in MAY_IMPORT if part not in ("cli", "report")])
def test_only_cli_and_report_print(part: str) -> None:
    for module, path in modules().items():
        if part_of(module) != part:
            continue
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls, module


def test_sparsifiers_know_nothing_of_processes() -> None:
    for file in (ROOT / "sparsify").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not any(word in source for word in ("multiprocessing", "subprocess", "open("))


def test_files_are_of_one_idea() -> None:
    for module, path in modules().items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, module


@pytest.mark.parametrize(
    "statement",
    [
        "import regtopk_bench",
        "import regtopk_bench.cli.main",
        "import regtopk_bench.report.reports, regtopk_bench.results.journal",
        "import regtopk_bench.report.plots",
        "import regtopk_bench.settings",
        "import regtopk_bench.network",
        "from regtopk_bench import Result, Run, Trace, __version__, compare, load, save",
    ],
)
def test_importing_does_not_import_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "command", ["--help", "linreg --help", "cost --help", "config", "config cifar"]
)
def test_commands_that_compute_nothing_do_not_import_torch(command: str) -> None:
    code = (
        "import sys; from regtopk_bench.cli.main import app\n"
        f"app({command.split()!r}, standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
