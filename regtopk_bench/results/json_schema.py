"""JSON Schemas of what others read: results, baselines, what doctor found and what `cost` prints.

They are in the package, as `results/schemas/*.json`; `python -m regtopk_bench.results.json_schema`
writes them anew after a change of the models.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from regtopk_bench.results.baseline import Baseline
from regtopk_bench.results.costs import Costs
from regtopk_bench.results.diagnosis import Diagnosis
from regtopk_bench.results.document import Document
from regtopk_bench.results.values import Model

FOLDER: Final = Path(__file__).parent / "schemas"

FILES: Final[dict[str, type[BaseModel]]] = {
    "result.schema.json": Document,
    "baseline.schema.json": Baseline,
    "diagnosis.schema.json": Diagnosis,
    "cost.schema.json": Costs,
}
"""The model that each file in the folder describes."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def document(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of files that hold a model.

    It describes what is written, so that null may stand for a number that is not finite, and says
    nothing of how parts of a file must fit together. What has a default may be absent, as in files
    of an earlier release, except for what tells one kind or version of a file from another.
    """
    described = model.model_json_schema(mode="serialization")
    parts = {model.__name__: described, **described.get("$defs", {})}
    for each in _models():
        for field, told in _told(each) if each.__name__ in parts else ():
            parts[each.__name__]["properties"][field]["description"] = told
    properties = described["properties"]
    schema, version = (properties[name]["const"] for name in ("schema", "version"))
    plain: dict[str, Any] = _plain(described)
    identity = f"urn:{schema.replace('.', ':')}:{version}"
    return {"$schema": DIALECT, "$id": identity, "title": f"{schema} {version}"} | plain


def text(model: type[BaseModel]) -> str:
    """Return the JSON Schema of a model as the text of its file."""
    return f"{json.dumps(document(model), indent=2, ensure_ascii=False)}\n"


def write(folder: Path = FOLDER) -> None:
    """Write every schema into a folder."""
    for name, model in FILES.items():
        (folder / name).write_text(text(model), encoding="utf-8")


def _models(base: type[BaseModel] = Model) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from _models(each)


def _told(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield each field that has a docstring, with it."""
    if model is not Model and model.__base__ is not None:
        yield from _told(model.__base__)
    (written,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(written, ast.ClassDef)
    for field, after in itertools.pairwise(written.body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())


def _plain(schema: Any) -> Any:
    """Return a schema without what releases of pydantic word differently, or what says nothing."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _plain(each) for name, each in schema.items() if not _idle(name, each)}
    if "const" in kept:
        return {"const": kept["const"]}
    if isinstance(kept.get("properties"), dict):
        properties = kept["properties"]
        constant = {name for name, each in properties.items() if "const" in each}
        required = constant.union(schema.get("required", ()))
        kept["required"] = [name for name in properties if name in required]
    return kept


def _idle(name: str, value: Any) -> bool:
    """Tell whether a keyword, and not a property of that name, says nothing to a validator."""
    return (
        (name == "title" and isinstance(value, str))
        or (name == "additionalProperties" and value is True)
        or (name == "discriminator" and "propertyName" in value)
    )


if __name__ == "__main__":
    write()
