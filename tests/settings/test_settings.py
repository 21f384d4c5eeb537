from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.settings import COMMANDS, load, parsers, resolve
from regtopk_bench.settings.schema import ALGORITHM_NAMES, spec_of
from regtopk_bench.sparsify import ALGORITHMS

REPOSITORY = Path(__file__).parents[2]


def write(text: str) -> Path:
    path = Path("benchmarks.toml")
    path.write_text(text, encoding="utf-8")
    return path


def settle(flags: dict[str, Any], environment: dict[str, str], profile: str | None = None) -> Any:
    return resolve("linreg", flags, environment, load(None), profile)


def test_precedence_and_sources() -> None:
    write(
        """
        version = 1
        [defaults]
        rounds = 10
        workers = 3
        samples = 11
        dim = 7
        [defaults.linreg]
        dim = 8
        [profiles.mine.linreg]
        rounds = 20
        workers = 4
        samples = 12
        """
    )
    resolved = settle(
        {"rounds": "40", "density": []},
        {"REGTOPK_BENCH_ROUNDS": "30", "REGTOPK_BENCH_WORKERS": "5"},
        "mine",
    )
    found = {
        name: (getattr(resolved.settings, name), resolved.sources[name])
        for name in ("rounds", "workers", "samples", "dim", "mu", "density")
    }
    assert found == {
        "rounds": (40, "flag"),
        "workers": (5, "environment"),
        "samples": (12, "profile mine"),
        "dim": (8, "defaults"),
        "mu": (4.0, "built-in"),
        "density": ((0.4, 0.6), "built-in"),
    }


def test_the_repositorys_profiles_are_valid() -> None:
    file = load(REPOSITORY / "benchmarks.toml")
    assert set(file.profiles) == {"quick", "ci", "paper", "finetune"}
    for profile in file.profiles:
        for command in COMMANDS:
            resolve(command, {}, {}, file, profile)


def test_algorithm_names_are_those_of_the_registry() -> None:
    assert tuple(ALGORITHMS) == ALGORITHM_NAMES


def test_every_default_passes_its_own_parser() -> None:
    for settings in COMMANDS.values():
        for declared in fields(settings):
            if declared.default not in ((), None):
                assert spec_of(declared).parse(declared.default) == declared.default


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 2", "version is 2, and must be 1"),
        ("", "version is None"),
        ("version = 1\nprofile = 3", 'unknown key "profile"; did you mean "profiles"'),
        (
            "version = 1\n[defaults]\nrouns = 3",
            r'\[defaults\] unknown key "rouns"; did you mean "rounds"',
        ),
        ("version = 1\n[profiles.a.toy]\nworkers = 3", r"\[profiles.a.toy\] unknown key"),
        ("version = 1\n[profiles.a.linreg]\nmu = 0", r"\[profiles.a.linreg\] mu: 0 is not above 0"),
        ("version = 1\n[profiles.a]\ndensity = [0.5, 2]", r"\[profiles.a\] density: 2 is not in"),
        ("version = 1\n[profiles.a]\nrounds = true", "True is not a whole number"),
        ("version = 1\nprofiles = 3", "profiles must be a table"),
        ("version = 1\n[defaults]\nlinreg = 3", "defaults.linreg must be a table"),
        ("version = ", "not valid TOML"),
        ("version = 1\n[profiles.quick]\n[profiles.a", "not valid TOML"),
    ],
)
def test_unusable_files_name_file_and_key(text: str, message: str) -> None:
    write(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(None)
    assert "benchmarks.toml" in str(caught.value)


def test_a_missing_file_or_profile_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(Path("absent.toml"))
    with pytest.raises(ConfigurationError, match=r"needs a benchmarks\.toml"):
        load(None).profile("quick")
    write("version = 1\n[profiles.quick]")
    with pytest.raises(ConfigurationError, match='did you mean "quick"'):
        load(None).profile("quik")


@pytest.mark.parametrize(
    ("raw", "seeds"),
    [
        ("0", (0,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,3,7", (0, 3, 7)),
        ("1-2,2-3", (1, 2, 3)),
        (["5"], (5,)),
    ],
)
def test_seeds(raw: Any, seeds: tuple[int, ...]) -> None:
    assert parsers.seeds(raw) == seeds


@pytest.mark.parametrize("raw", ["", "a", "4-1", "-3", "1-", "0-100000"])
def test_impossible_seeds(raw: str) -> None:
    with pytest.raises(ValueError, match=r"is not|holds more"):
        parsers.seeds(raw)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"density": ["0"]}, r"--density: 0 is not in \(0, 1\]"),
        ({"density": ["nan"]}, "--density: nan"),
        ({"rounds": "-1"}, "--rounds: -1 is below 0"),
        ({"rounds": "2.5"}, "'2.5' is not a whole number"),
        ({"algorithm": ["regtopkk"]}, 'did you mean "regtopk"'),
        ({"mu": "inf"}, "--mu: 'inf' is not a finite number"),
        ({"k": ["101"]}, "k 101 exceeds dim 100"),
        ({"processes": "21"}, "processes 21 exceeds workers 20"),
        ({"processes": "several"}, "--processes: 'several' is not a whole number"),
    ],
)
def test_unusable_values_name_the_flag(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settle(flags, {})


def test_unusable_variables_name_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="REGTOPK_BENCH_LEARNING_RATE: 'x'"):
        settle({}, {"REGTOPK_BENCH_LEARNING_RATE": "x"})
