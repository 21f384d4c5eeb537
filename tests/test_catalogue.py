"""The built-in algorithms: each is known in few places, and told apart from the others."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import regtopk_bench as rb
from regtopk_bench.algorithms import ALGORITHMS, algorithm
from regtopk_bench.sparsify import name_of_class, sparsifier_class

ROOT = Path(rb.__file__).parent

# Where an algorithm may be named beside its own file, and why. Nowhere else is it known which
# there are.
FOR_ALL = {
    "algorithms.py": "its row",
    "sparsify/__init__.py": "the public names of that part",
    "__init__.py": "the public names of the package",
    "settings/sparsification.py": "what is compared by default",
    "settings/commands.py": "what is compared by default on images",
}
FOR_SOME = {
    "distributed/settings.py": {"dense"},  # which is summed as without a hook
    "experiments/grids.py": {"dense", "topk", "regtopk"},  # whom the toy example is about
    "settings/file.py": {"regtopk"},  # what to write for keys of former settings files
}


def identifiers(module: ast.Module) -> Iterator[str]:
    """Yield the names that code defines, imports or uses."""
    for node in ast.walk(module):
        match node:
            case (
                ast.Name(id=name)
                | ast.Attribute(attr=name)
                | ast.alias(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name


def strings(module: ast.Module) -> Iterator[str]:
    """Yield text in quotes, but for what stands there to be read, as docstrings do."""
    read = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in read:
            yield node.value


@functools.cache
def contents(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names and the text in quotes of a file, which each algorithm is looked for in."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(identifiers(module)), frozenset(strings(module))


def names(path: Path, name: str) -> bool:
    """Tell whether a file names an algorithm, by its class or by its name on the command line."""
    home_class = algorithm(name).home.partition(":")[2]
    word = re.compile(rf"(?<![\w.-]){name}(?![\w.-])")  # a part of torch.topk is another word
    used, quoted = contents(path)
    return home_class in used or any(map(word.search, quoted))


def files_that_name(name: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if names(path, name)}


def own_file(name: str) -> str:
    module = algorithm(name).home.partition(":")[0]
    return module.partition(".")[2].replace(".", "/") + ".py"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_is_named_in_few_places(name: str) -> None:
    found = files_that_name(name)
    assert found <= {
        own_file(name),
        *FOR_ALL,
        *(file for file in FOR_SOME if name in FOR_SOME[file]),
    }
    assert {own_file(name), "algorithms.py"} <= found


def test_every_place_that_may_name_algorithms_does() -> None:
    found = {name: files_that_name(name) for name in ALGORITHMS}
    assert set().union(*found.values()) >= FOR_ALL.keys()
    for file, allowed in FOR_SOME.items():
        assert {name for name in ALGORITHMS if file in found[name]} == allowed


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_row_leads_to_its_class(name: str) -> None:
    found = sparsifier_class(name)
    assert found.__module__.startswith("regtopk_bench.sparsify.")
    assert name_of_class(found) == name
    assert found.__doc__


def test_rows_are_told_apart() -> None:
    rows = ALGORITHMS.values()
    for facts in (
        {row.name for row in rows},
        {row.label for row in rows},
        {(row.colour, row.dash) for row in rows},
        {row.home for row in rows},
    ):
        assert len(facts) == len(rows)


def test_an_algorithm_from_elsewhere_has_a_row_that_looks_like_none_of_ours() -> None:
    ours = {row.colour for row in ALGORITHMS.values()}
    for name in ("a.Mine", "b.Mine", "gone", "strange name"):
        row = algorithm(name)
        assert row == algorithm(name)
        assert row.name == name
        assert row.colour not in ours
    assert algorithm("mypackage.sparsifiers.Mine").home == "mypackage.sparsifiers:Mine"
    assert algorithm("mypackage.sparsifiers.Mine").label == "Mine"
