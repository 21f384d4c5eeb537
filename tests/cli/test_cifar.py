from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Call = Callable[..., Any]

TINY = ["--dataset", "synthetic", "--image-size", "8", "--processes", "1"]
FOUR = [*TINY, "--workers", "4", "--evaluate-every", "4", "--density", "0.01"]
SMALL = [*FOUR, "--rounds", "12"]


def test_the_table_fits_80_columns_and_says_that_images_are_made_up(run: Call) -> None:
    done = run("cifar", *SMALL, "--seeds", "0-1")
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "SYNTHETIC images: cnn (J=104,490), N=4 workers, iid, batch 20" in done.stdout
    assert "First minus second in points of accuracy on SYNTHETIC images" in done.stdout
    assert "mean total variation distance" in done.stdout
    for name in ("dense", "topk", "regtopk", "±"):
        assert name in done.stdout


def test_a_run_saves_result_traces_and_plot_and_no_checkpoints(run: Call) -> None:
    done = run("cifar", *SMALL, "--checkpoint-every", "5", "--plot-format", "svg")
    (folder,) = Path("runs").iterdir()
    assert f"saved {folder}" in done.stderr
    assert sorted(path.name for path in folder.rglob("*")) == [
        "accuracy.svg",
        "result.json",
        "traces.csv",
    ]
    rows = list(csv.DictReader(io.StringIO((folder / "traces.csv").read_text())))
    assert len(rows) == 3 * 12
    assert [row["accuracy"] != "" for row in rows[:12]] == [False, False, False, True] * 3


def algorithm(run: dict[str, Any]) -> str:
    return str(run["cell"]["sparsifier"]["algorithm"])


def test_every_format_prints_the_saved_result(run: Call) -> None:
    document = json.loads(run("cifar", *SMALL, "--format", "json").stdout)
    (folder,) = Path("runs").iterdir()
    assert document == json.loads((folder / "result.json").read_text())
    (topk,) = (one for one in document["runs"] if algorithm(one) == "topk")
    assert topk["metrics"]["uplink_bytes"] == 12 * 4 * 1044 * (4 + 4)
    assert topk["traces"]["accuracy"][:3] == [None, None, None]
    assert topk["traces"]["accuracy"][-1] == topk["metrics"]["accuracy"]
    assert topk["metrics"]["parameters"] == 104_490
    rows = list(csv.DictReader(io.StringIO(run("show", str(folder), "-f", "csv").stdout)))
    assert [row["algorithm"] for row in rows] == ["dense", "topk", "regtopk"]
    assert {row["images"] for row in rows} == {"SYNTHETIC images"}
    shares = [float(rows[1][f"{phase}_share"]) for phase in ("gradient", "sparsify")]
    assert 0.5 < shares[0] < 1.0
    assert float(rows[1]["images_per_second"]) > 10.0
    for output_format, name in (("markdown", "Top-k"), ("latex", "Top-$k$")):
        assert name in run("show", str(folder), "--no-plot", "-f", output_format).stdout


def wait_for_checkpoint(
    process: subprocess.Popen[Any], pattern: str = "*/round-*", after: int = 0
) -> None:
    """Wait until there is a checkpoint, of the cell after so many others."""
    deadline = time.monotonic() + 60
    while True:
        journals = [file.read_text() for file in Path().glob("runs/*/journal.jsonl")]
        begun = [line for text in journals for line in text.splitlines() if '"started"' in line]
        if len(begun) > after:
            key = json.loads(begun[after])["started"] if after else "*"
            if list(Path().glob(f"runs/*/checkpoints/{pattern.replace('*/', f'{key}/', 1)}")):
                return
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_after_a_checkpoint(process: subprocess.Popen[bytes]) -> None:
    wait_for_checkpoint(process)
    process.kill()
    process.wait()


def results(text: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(text)["runs"]
    for one in runs:
        del one["execution"], one["environments"]
    return runs


def test_an_interrupted_run_is_resumed_to_the_same_bits(run: Call) -> None:
    options = [
        *TINY,
        "--rounds",
        "100",
        "--evaluate-every",
        "33",
        "--momentum",
        "0.9",
        "-d",
        "0.01",
    ]
    options += [
        "-n",
        "3",
        "-b",
        "5",
        "--schedule",
        "cosine",
        "--local-steps",
        "2",
        "-a",
        "topk",
        "-a",
        "regtopk",
    ]
    whole = results(run("cifar", *options, "--no-save", "-f", "json").stdout)
    command = [sys.executable, "-m", "regtopk_bench", "cifar", *options, "--checkpoint-every", "3"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    wait_for_checkpoint(process, after=1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert "1 run stopped early" in stdout
    (folder,) = Path("runs").iterdir()
    assert f"to resume: regtopk-bench cifar --resume {folder}" in stderr
    stored = json.loads((folder / "result.json").read_text())
    assert [one["status"] for one in stored["runs"]] == ["finished", "stopped"]

    resumed = run("cifar", "--resume", str(folder), "-f", "json", "--processes", "2")
    assert resumed.exit_code == 0, resumed.stderr
    assert results(resumed.stdout) == whole
    assert not (folder / "checkpoints").exists()
    assert json.loads(resumed.stdout)["settings"]["momentum"] == {
        "value": 0.9,
        "source": "resumed run",
    }


def test_a_killed_run_can_be_resumed(run: Call) -> None:
    command = [sys.executable, "-m", "regtopk_bench", "cifar", *FOUR, "--rounds", "100"]
    kill_after_a_checkpoint(subprocess.Popen([*command, "--checkpoint-every", "3", "-a", "topk"]))
    (folder,) = Path("runs").iterdir()
    resumed = run("cifar", "--resume", str(folder), "-f", "json")
    assert resumed.exit_code == 0, resumed.stderr
    (topk,) = json.loads(resumed.stdout)["runs"]
    assert topk["status"] == "finished"
    assert topk["metrics"]["rounds"] == 100


def test_resuming_with_another_configuration(run: Call) -> None:
    run("cifar", *SMALL, "-a", "topk")
    (folder,) = Path("runs").iterdir()
    before = (folder / "result.json").read_bytes()
    for flags, message in (
        (["--rounds", "13"], "--rounds is 13 (flag), but the run to resume has 12"),
        (["--momentum", "0.5"], "--momentum is 0.5 (flag), but the run to resume has 0"),
        (["-d", "0.1"], "--density is 0.1 (flag), but the run to resume has 0.01"),
    ):
        done = run("cifar", "--resume", str(folder), *flags)
        assert done.exit_code == 2
        assert message in done.stderr
        assert (folder / "result.json").read_bytes() == before


@pytest.mark.parametrize("finished", [True, False])
def test_resuming_with_other_images(run: Call, folder: Path, finished: bool) -> None:
    flags = ["--data", str(folder), "--cache", "cache", "-n", "2", "-b", "4", "-a", "topk"]
    flags += ["--image-size", "8", "--processes", "1", "--evaluate-every", "1000"]
    if finished:
        run("cifar", *flags, "-r", "2")
    else:
        command = [sys.executable, "-m", "regtopk_bench", "cifar", *flags, "-r", "9999"]
        process = subprocess.Popen([*command, "--checkpoint-every", "2"])
        kill_after_a_checkpoint(process)
    (run_folder,) = Path("runs").iterdir()
    name = "result.json" if finished else "journal.jsonl"
    before = (run_folder / name).read_text()
    checkpoints = list(run_folder.rglob("round-*"))
    Image.new("RGB", (8, 8)).save(folder / "train" / "dark" / "3.png")
    done = run("cifar", "--resume", str(run_folder))
    assert done.exit_code == 2
    assert ("had another images" if finished else "begun with other data") in done.stderr
    assert (run_folder / name).read_text() == before
    assert list(run_folder.rglob("round-*")) == checkpoints
    assert bool(checkpoints) != finished


def test_what_was_finished_outlives_a_second_stop(run: Call) -> None:
    """A failed run is tried again, while those after it are kept."""
    whole = json.loads(run("cifar", *SMALL, "-f", "json").stdout)
    (folder,) = Path("runs").iterdir()
    whole["runs"][0]["status"] = "failed"
    (folder / "result.json").write_text(json.dumps(whole))
    command = [sys.executable, "-m", "regtopk_bench", "cifar", "--resume", str(folder)]
    kill_after_a_checkpoint(subprocess.Popen([*command, "--checkpoint-every", "1"]))
    kept = json.loads((folder / "result.json").read_text())["runs"]
    assert [one["status"] for one in kept] == ["failed", "finished", "finished"]
    again = json.loads(run("cifar", "--resume", str(folder), "-f", "json").stdout)["runs"]
    assert [one["status"] for one in again] == ["finished"] * 3
    assert [one["metrics"] for one in again] == [one["metrics"] for one in whole["runs"]]


def test_a_damaged_checkpoint_loses_nothing(run: Call) -> None:
    command = [sys.executable, "-m", "regtopk_bench", "cifar", *FOUR, "-r", "100", "-a", "topk"]
    process = subprocess.Popen([*command, "--checkpoint-every", "2"], stdout=subprocess.DEVNULL)
    wait_for_checkpoint(process, "*/round-00000006*")  # not the first
    process.send_signal(signal.SIGINT)
    process.wait()
    (folder,) = Path("runs").iterdir()
    before = json.loads((folder / "result.json").read_text())["runs"]
    *_, older, newest = sorted(folder.glob("checkpoints/*/*"))
    newest.write_bytes(newest.read_bytes()[:100])
    done = run("cifar", "--resume", str(folder))
    assert done.exit_code == 3
    assert f"remove it to resume from the one before, {older.name}" in done.stderr
    assert json.loads((folder / "result.json").read_text())["runs"] == before
    newest.unlink()
    assert run("cifar", "--resume", str(folder / "result.json")).exit_code == 0


def test_what_cannot_be_resumed(run: Call) -> None:
    done = run("cifar", "--resume", "nowhere")
    assert done.exit_code == 2
    assert "cannot read result nowhere" in done.stderr
    run("linreg", "--rounds", "1", "--processes", "1")
    (folder,) = Path("runs").iterdir()
    done = run("cifar", "--resume", str(folder))
    assert done.exit_code == 2
    assert "is a run of linreg, not of cifar" in done.stderr


def test_a_resumed_run_with_nothing_left_prints_its_result(run: Call) -> None:
    first = run("cifar", *SMALL, "-a", "topk")
    (folder,) = Path("runs").iterdir()
    again = run("cifar", "--resume", str(folder))
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert len(list(Path("runs").iterdir())) == 1


def test_layers_partitions_and_weights(run: Call) -> None:
    flags = ["--scope", "layer", "--partition", "dirichlet:0.1", "--weighting", "size", "-b", "5"]
    done = run("cifar", *SMALL, *flags, "--augment", "--amp", "-f", "json", "--no-save")
    assert done.exit_code == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    layers = [432, 16, 16, 16, 9216, 64, 64, 64, 73728, 128, 128, 128, 20480, 10]
    entries = sum(max(1, dim // 100) for dim in layers)
    assert runs[1]["metrics"]["uplink_bytes"] == 12 * 4 * entries * 8
    assert runs[1]["metrics"]["skew"] > 0.5
    assert runs[0]["metrics"]["uplink_bytes"] == 12 * 4 * 104_490 * 4


def test_only_the_classifier_of_a_torchvision_model(run: Call, folder: Path) -> None:
    done = run(
        *("cifar", "--data", str(folder), "--cache", "cache", "--model", "resnet18"),
        *("--freeze-backbone", "--workers", "2", "-b", "4", "-r", "3", "--evaluate-every", "3"),
        *("--momentum", "0.9", "-d", "0.01", "--seeds", "0-1", "--processes", "1"),
    )
    assert done.exit_code == 0, done.stderr
    assert "images: resnet18 (J=1,026), N=2 workers" in " ".join(done.stdout.split())
    assert "Wilcoxon" in done.stdout


def test_a_missing_gpu_is_one_line(run: Call) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = run("cifar", *SMALL, "--device", "cuda")
    assert done.exit_code == 3
    assert "PyTorch sees no CUDA device here" in done.stderr


def test_divergence_keeps_the_other_runs(run: Call) -> None:
    done = run("cifar", *SMALL, "--learning-rate", "1e20", "-a", "dense", "-a", "topk")
    assert done.exit_code == 3
    assert "non-finite gradient at worker" in done.stderr
    assert "diverged @" in done.stdout
    (folder,) = Path("runs").iterdir()
    assert (folder / "result.json").exists()
