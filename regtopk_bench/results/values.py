"""What files are made of: models that never change, and numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

Scalar = str | bool | int | float | None


def _null_if_not_finite(value: int | float) -> int | float | None:
    return value if math.isfinite(value) else None


def _nan_if_null(value: Any) -> Any:
    return math.nan if value is None else value


def _nulls_if_not_finite(values: list[int | float]) -> list[int | float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _nans_if_null(values: Any) -> Any:
    if not isinstance(values, list):
        return values
    return [math.nan if value is None else value for value in values]


def _words_for_infinities(facts: dict[str, Scalar]) -> dict[str, Scalar]:
    """JSON has no infinity, and null would make two different cells equal."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }


IntOrFloat = (
    Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | Annotated[float, Field(strict=True)]
)

Number = Annotated[
    IntOrFloat,
    BeforeValidator(_nan_if_null),
    PlainSerializer(_null_if_not_finite, return_type=int | float | None),
]
"""A number in a result file, where null stands for any value that is not finite."""

Numbers = Annotated[
    list[IntOrFloat],
    BeforeValidator(_nans_if_null),
    PlainSerializer(_nulls_if_not_finite, return_type=list[int | float | None]),
]
"""A list of them, converted as a whole because traces are long."""

Facts = Annotated[dict[str, Scalar], AfterValidator(_words_for_infinities)]
"""Named scalars that make up a cell; "inf" and "nan" are text."""


class Model(BaseModel):
    """A part of a file; what a later version has added to it is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    def __str__(self) -> str:
        return repr(self)
