"""The parameters whose gradients come: numbered, named, and watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtopk_bench.distributed.section import Gradient
from regtopk_bench.errors import ConfigurationError

Numbers = tuple[int, ...]
"""Some parameters, in the order in which their gradients lie one after another."""


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
        self._numbers: dict[Tensor, int] = {}
        self._names: dict[Tensor, str] = {}
        self._used: set[Tensor] = set()
        if model is not None:
            self.name(model)

    def name(self, model: nn.Module) -> None:
        """Learn the names that parameters have in a model, whatever wraps it."""
        for name, parameter in model.named_parameters():
            self._names[parameter] = name.removeprefix("module.").replace("_orig_mod.", "")

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
        return [self._all[number].numel() for number in numbers]

    def gradient(self, numbers: Numbers, part: tuple[int, ...], seed: int) -> Gradient:
        """Return what the gradient of these parameters consists of.

        Raises:
            ConfigurationError: If it is spread over several devices.
        """
        some = [self._all[number] for number in numbers]
        devices = {each.device for each in some}
        if len(devices) > 1:
            raise ConfigurationError(
                f"gradients on {len(devices)} devices cannot be selected from together"
            )
        double = any(each.dtype == torch.float64 for each in some)
        return Gradient(
            shapes=tuple(tuple(each.shape) for each in some),
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
                self._numbers[parameter] = len(self._all)
                self._all.append(parameter)
                if parameter.grad is not None:
                    self._used.add(parameter)
                parameter.register_post_accumulate_grad_hook(self._used.add)

    def record(self) -> list[dict[str, Any]]:
        """Return name, shape and strides of each, to tell them apart in another process."""
        return [
            {
                "name": self._names.get(each),
                "shape": list(each.shape),
                "stride": list(each.stride()),
            }
            for each in self._all
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


def _kind(record: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    return list(record["shape"]), list(record["stride"])
