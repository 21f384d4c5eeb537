from __future__ import annotations

from pathlib import Path

import pytest

from regtopk_bench import ConfigurationError
from regtopk_bench.settings import COMMANDS, load, resolve

REPOSITORY = Path(__file__).parents[2]


def write(text: str) -> None:
    Path("benchmarks.toml").write_text(text, encoding="utf-8")


def test_the_repositorys_profiles_are_valid() -> None:
    file = load(REPOSITORY / "benchmarks.toml")
    assert set(file.profiles) == {"quick", "ci", "paper", "finetune"}
    for profile in file.profiles:
        for command in COMMANDS:
            resolve(command, {}, {}, file, profile)


@pytest.mark.parametrize(
    ("profile", "command", "regtopk"),
    [
        ("paper", "linreg", "regtopk:mu=4"),
        ("paper", "cifar", "regtopk:mu=5"),
        ("finetune", "cifar", "regtopk:mu=2,q=1e4,denominator=current"),
    ],
)
def test_the_papers_hyper_parameters(profile: str, command: str, regtopk: str) -> None:
    file = load(REPOSITORY / "benchmarks.toml")
    settings = resolve(command, {}, {}, file, profile).settings
    assert regtopk in map(str, settings.algorithm)


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
        (
            "version = 1\n[profiles.a.linreg]\nlearning_rate = 0",
            r"\[profiles.a.linreg\] learning_rate: 0 is not above 0",
        ),
        (
            'version = 1\n[defaults]\nalgorithm = ["regtopkk:mu=4"]',
            r'\[defaults\] algorithm: unknown value "regtopkk"; did you mean "regtopk"\?',
        ),
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


@pytest.mark.parametrize("table", ["defaults", "profiles.mine", "profiles.mine.linreg"])
@pytest.mark.parametrize(
    ("key", "spec"),
    [
        ("mu", "regtopk:mu=4"),
        ("q", "regtopk:q=1e8"),
        ("denominator", "regtopk:denominator=current"),
    ],
)
def test_hyper_parameters_are_referred_to_the_algorithm(table: str, key: str, spec: str) -> None:
    write(f"version = 1\n[{table}]\n{key} = 3")
    with pytest.raises(ConfigurationError) as caught:
        load(None)
    assert str(caught.value).endswith(
        f'[{table}] unknown key "{key}": hyper-parameters belong to the algorithm, '
        f'as in algorithm = ["{spec}"]'
    )


def test_the_toy_has_no_algorithm_to_give_hyper_parameters_to() -> None:
    write("version = 1\n[defaults.toy]\nmu = 3")
    with pytest.raises(ConfigurationError, match='unknown key "mu"') as caught:
        load(None)
    assert "algorithm" not in str(caught.value)


def test_a_missing_file_or_profile_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(Path("absent.toml"))
    with pytest.raises(ConfigurationError, match=r"needs a benchmarks\.toml"):
        load(None).profile("quick")
    write("version = 1\n[profiles.quick]")
    with pytest.raises(ConfigurationError, match='did you mean "quick"'):
        load(None).profile("quik")
