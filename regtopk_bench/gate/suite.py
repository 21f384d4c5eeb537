"""A suite as the gate sees it: what to ask for, which cells there are, which are wanted."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regtopk_bench.errors import ConfigurationError, RunError, suggest
from regtopk_bench.gate.process import Process, ProcessError
from regtopk_bench.gate.tree import Tree
from regtopk_bench.results import KernelCell, Scalar, TrainingCell
from regtopk_bench.results.names import names
from regtopk_bench.settings import WORKLOADS, Profile, SettingsFile, as_json, resolve

Cell = TrainingCell | KernelCell


@dataclass(frozen=True)
class Claimed:
    """A claim with the cells that it compares."""

    text: str
    metric: str
    decades: float
    pairs: Sequence[Sequence[str]]
    """Keys of the cell that it is about and of the one it is compared with, for each seed."""


@dataclass(frozen=True)
class Suite:
    """The cells of a profile, in the order of its commands."""

    profile: str
    tree: Tree
    request: dict[str, Any]
    """What makes a process take the suite."""
    cells: Mapping[str, Cell]
    """By key."""
    names: Mapping[str, str]
    estimates: Mapping[str, float]
    """Seconds that cells may take."""
    skipped: Mapping[str, str]
    """Why some cells cannot be run here."""
    claims: Sequence[Claimed]
    environment: Mapping[str, Scalar]
    files: frozenset[str]
    """Where its code is."""
    unknown: Sequence[str]
    """Algorithms and kernels that the tree does not have."""
    frozen: int
    """The version of the reference kernel."""

    def matching(self, patterns: Iterable[str], flag: str) -> list[str]:
        """Return the keys of the cells whose names match a pattern; all without patterns.

        Raises:
            ConfigurationError: If a pattern matches none, or there is no cell at all.
        """
        if not self.cells:
            raise ConfigurationError(
                f'profile "{self.profile}" has no cell that could be run here: nothing would be '
                "checked"
            )
        found: dict[str, None] = {}
        wanted = list(patterns)
        for pattern in wanted:
            matched = [key for key, name in self.names.items() if fnmatch.fnmatch(name, pattern)]
            if not matched:
                raise ConfigurationError(
                    f'{flag}: no cell of profile "{self.profile}" is named "{pattern}"'
                    f"{suggest(pattern, self.names.values())}"
                )
            found |= dict.fromkeys(matched)
        return [key for key in self.cells if key in found] if wanted else list(self.cells)

    def timed(self, patterns: Iterable[str], among: Iterable[str]) -> list[str]:
        """Return the keys of the cells to time: of those that differ in their seed, the first."""
        allowed = set(among) - set(self.skipped)
        groups: dict[str, str] = {}
        for key in self.matching(patterns, "--time"):
            cell = self.cells[key]
            if key in allowed:
                groups.setdefault(cell.group if isinstance(cell, TrainingCell) else key, key)
        return list(groups.values())


def request(file: SettingsFile, profile: Profile, name: str, *, tolerant: bool) -> dict[str, Any]:
    """Return the request that makes a process take the suite of a profile.

    Neither the environment nor flags change a suite: its cells follow from files alone.

    Args:
        file: The settings.
        profile: The profile.
        name: Its name.
        tolerant: Whether algorithms, kernels and settings that a tree does not have are left out;
            nor are there claims then, which are made of the code under test.

    Raises:
        ConfigurationError: If the profile has no cells, or a setting cannot be used.
    """
    commands = [command for command in profile.commands if command in WORKLOADS]
    if not commands:
        raise ConfigurationError(
            f"{profile.where} is no suite: it has no table of {', '.join(WORKLOADS)}"
        )
    workloads = {
        command: as_json(resolve(command, {}, {}, file, name).settings) for command in commands
    }
    return {
        "do": "suite",
        "workloads": workloads,
        "claims": [] if tolerant else [as_json(claim) for claim in profile.claims],
        "tolerant": tolerant,
    }


def suite_of(process: Process, profile: str, tree: Tree, asked: dict[str, Any]) -> Suite:
    """Return the suite that a process has taken.

    Raises:
        ConfigurationError: If it cannot be made.
        RunError: If the process died or hangs.
    """
    try:
        answer = process.suite()
    except ProcessError as error:
        raise RunError(f"the suite of {tree.name} cannot be made: {error}") from error
    cells: dict[str, Cell] = {}
    for each in answer["cells"]:
        kind = KernelCell if each["cell"]["kind"] == "kernel" else TrainingCell
        cell = kind.model_validate(each["cell"])
        cells[cell.key] = cell
    listed = dict(zip(cells, answer["cells"], strict=True))
    return Suite(
        profile=profile,
        tree=tree,
        request=asked,
        cells=cells,
        names=names(cells.values()),
        estimates={key: each["estimate"] for key, each in listed.items()},
        skipped={key: each["skip"] for key, each in listed.items() if each["skip"]},
        claims=[Claimed(**each) for each in answer["claims"]],
        environment=answer["environment"],
        files=frozenset(answer["files"]),
        unknown=answer["unknown"],
        frozen=answer["frozen"],
    )
