"""The parameters whose gradients come: numbered, named, and watched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regtopk_bench.distributed.section import Gradient
from regtopk_bench.errors import ConfigurationError

Numbers = tuple[int, ...]
"""Some parameters, in the order in which their gradients lie one after another."""


@dataclass(frozen=True)
class Form:
    """What the gradient of a parameter is like when it comes."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class Parameters:
    """The parameters, numbered in the order in which their gradients came first.

    Attributes:
        came: How they were grouped when they came first: DDP's first buckets, which depend on
            nothing but the model and the size of a bucket.
    """

    def __init__(self, model: nn.Module | None) -> None:
        """Take the names from a model, if there is one."""
        self.came: list[Numbers] = []
        self._complete = False
        self._all: list[Tensor] = []
        self._forms: list[Form] = []
        self._numbers: dict[Tensor, int] = {}
        self._names: dict[Tensor, str] = {}
        self._used: set[Tensor] = set()
        if model is not None:
            self.name(model)

    def name(self, model: nn.Module) -> None:
        """Learn the names that parameters have in a model, whatever wraps it."""
        for name, parameter in model.named_parameters():
            self._names[parameter] = plain(name)

    def add(self, parameter: Tensor, name: str, form: Form) -> None:
        """Number and name a parameter whose gradient has another form than the parameter."""
        if parameter not in self._numbers:
            self._number(parameter, form)
        self._names[parameter] = name

    def numbers(self, parameters: Sequence[Tensor]) -> Numbers:
        """Return the numbers of these parameters, which come together."""
        self._meet(parameters)
        numbers = tuple(self._numbers[parameter] for parameter in parameters)
        if not self._complete:
            self.came.append(numbers)
        return numbers

    def all_came(self) -> None:
        """Note that the gradients of all parameters have come once."""
        self._complete = True

    def sizes(self, numbers: Numbers) -> list[int]:
        """Return how many entries each of these has."""
        return [math.prod(self._forms[number].shape) for number in numbers]

    def gradient(self, numbers: Numbers, part: tuple[int, ...], seed: int) -> Gradient:
        """Return what the gradient of these parameters consists of.

        Raises:
            ConfigurationError: If it is spread over several devices.
        """
        some = [self._forms[number] for number in numbers]
        devices = {each.device for each in some}
        if len(devices) > 1:
            raise ConfigurationError(
                f"gradients on {len(devices)} devices cannot be selected from together"
            )
        double = any(each.dtype == torch.float64 for each in some)
        return Gradient(
            shapes=tuple(each.shape for each in some),
            dtype=torch.float64 if double else torch.float32,
            device=devices.pop(),
            part=part,
            seed=seed,
        )

    def used(self, parameters: Sequence[Tensor]) -> bytes:
        """Return which parameters a gradient was added to since the last call, a byte for each."""
        self._meet(parameters)
        marks = bytes(parameter in self._used for parameter in parameters)
        self._used.difference_update(parameters)
        return marks

    def _meet(self, parameters: Sequence[Tensor]) -> None:
        """Number those that are new, and notice when autograd adds to their gradients.

        It is what DDP regards as using a parameter.
        """
        for parameter in parameters:
            if parameter not in self._numbers:
                shape, stride = tuple(parameter.shape), tuple(parameter.stride())
                self._number(parameter, Form(shape, stride, parameter.dtype, parameter.device))
                if parameter.grad is not None:
                    self._used.add(parameter)
                parameter.register_post_accumulate_grad_hook(self._used.add)

    def _number(self, parameter: Tensor, form: Form) -> None:
        self._numbers[parameter] = len(self._all)
        self._all.append(parameter)
        self._forms.append(form)

    def record(self) -> list[dict[str, Any]]:
        """Return name, shape and strides of each, to tell them apart in another process."""
        return [
            {
                "name": self._names.get(parameter),
                "shape": list(form.shape),
                "stride": list(form.stride),
            }
            for parameter, form in zip(self._all, self._forms, strict=True)
        ]

    def recognised(
        self, saved: Sequence[Mapping[str, Any]], came: Sequence[Sequence[int]]
    ) -> list[int]:
        """Return the numbers here of the parameters in a record of another process.

        They are recognised by their names or, where not all have one, by the order in which they
        came, as long as they came in the same groups.

        Raises:
            ConfigurationError: If they cannot be told apart, or are not the same.
        """
        here = self.record()
        if all(each["name"] for each in [*here, *saved]):
            places = {each["name"]: number for number, each in enumerate(here)}
            numbers = [places.get(each["name"], -1) for each in saved]
        elif list(map(list, came)) == list(map(list, self.came)):
            numbers = list(range(len(saved)))
        else:
            raise ConfigurationError(
                "the parameters of a saved state came in other buckets: to recognise them, give "
                "the model, SparseState(…, model=model), when saving and when loading"
            )
        known = set(numbers) == set(range(len(here)))
        if not known or any(
            _kind(here[n]) != _kind(s) for n, s in zip(numbers, saved, strict=True)
        ):
            raise ConfigurationError(
                "a saved state is of a model with other parameters: their names, shapes or memory "
                "formats differ"
            )
        return numbers


def plain(name: str) -> str:
    """Return the name that a parameter has in a model that nothing wraps."""
    return name.removeprefix("module.").replace("_orig_mod.", "")


def _kind(record: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    return list(record["shape"]), list(record["stride"])
