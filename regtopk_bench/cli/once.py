"""Commands whose options count once: given twice, an option is an error and not its last value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from regtopk_bench.cli.invocation import reported_errors
from regtopk_bench.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


class OnceCommand(TyperCommand):
    """A command that refuses repeated options, but for those that take several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a call."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class OnceGroup(TyperGroup):
    """The same for the options of a group itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a call."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """A Typer application made of such commands."""

    def __init__(self, **options: Any) -> None:
        """Take Typer's own options."""
        super().__init__(cls=OnceGroup, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Take Typer's own options."""
        return super().command(name, cls=OnceCommand, **options)


def _refuse_repeated(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> None:
    _, _, given = command.make_parser(ctx).parse_args(args=list(args))
    with reported_errors():
        for each in given:
            if each.param_type_name == "option" and not each.multiple and given.count(each) > 1:
                names = " or ".join([each.opts[0], *each.secondary_opts])
                raise ConfigurationError(
                    f"{names} is given {given.count(each)} times: give it once"
                )
