"""Figures as files: fonts, sizes, widths, and the same bytes for the same result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from regtopk_bench import ConfigurationError
from regtopk_bench.report.figures import WIDTHS, save, style
from regtopk_bench.report.reports import plot
from regtopk_bench.results import Result, Run, store
from tests.report.test_kernels import timed
from tests.results.samples import image_run, result, run

LIMIT = 300_000
"""Bytes of a plot."""

NAMES = ("dense", "topk", "regtopk", "randomk", "oracle")

RESULTS = {
    "linreg": result([run(name, seed) for name in NAMES for seed in (0, 1)]),
    "cifar": result([image_run(name, seed) for name in NAMES for seed in (0, 1)], "cifar"),
    "toy": result([run(name, traces={"loss": [3.0, 2.0, 1.0]}) for name in NAMES], "toy"),
    "kernels": result([timed(case="warm", dim=dim) for dim in (1000, 10**6)], "kernels"),
}


def drawn(shown: Result, plot_format: str, width: str = "double", titles: bool = True) -> Path:
    """Return a plot in the working folder, which is the test's own."""
    path = plot(shown, Path(), plot_format, width=width, titles=titles)
    assert path is not None
    return path


def texts(svg: Path) -> list[str]:
    """Return the texts of a plot, in order."""
    return [each.text or "" for each in ElementTree.parse(svg).iter() if each.tag.endswith("}text")]


@pytest.mark.parametrize("command", RESULTS)
def test_a_pdf_has_its_fonts_as_truetype_in_it(command: str) -> None:
    content = drawn(RESULTS[command], "pdf").read_bytes()
    assert content.startswith(b"%PDF")
    fonts = re.findall(rb"/Subtype /(Type0|Type1|Type3|TrueType|CIDFontType2)\b", content)
    assert set(fonts) == {b"Type0", b"CIDFontType2"}
    assert content.count(b"/FontFile2") == fonts.count(b"CIDFontType2")
    assert b"/Type3" not in content


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", RESULTS)
def test_text_in_an_svg_is_text_and_large_enough(command: str, width: str) -> None:
    svg = drawn(RESULTS[command], "svg", width)
    assert "".join(texts(svg)).strip()
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg.read_text())]
    assert min(sizes) >= 7.0  # a px of a file as wide as 72 per inch is a point


@pytest.mark.parametrize(("width", "inches"), [("single", 3.5), ("double", 7.16)])
@pytest.mark.parametrize("command", RESULTS)
def test_plots_are_as_wide_as_columns_of_a_paper(command: str, width: str, inches: float) -> None:
    box = re.search(
        rb"/MediaBox \[ 0 0 ([\d.]+)", drawn(RESULTS[command], "pdf", width).read_bytes()
    )
    assert box
    assert float(box[1]) == pytest.approx(72 * inches, abs=0.01)
    with Image.open(drawn(RESULTS[command], "png", width)) as image:
        assert image.width / image.info["dpi"][0] == pytest.approx(inches, abs=0.01)


@pytest.mark.parametrize("plot_format", ["png", "svg", "pdf"])
@pytest.mark.parametrize("command", RESULTS)
def test_the_same_result_gives_the_same_bytes(command: str, plot_format: str) -> None:
    first = drawn(RESULTS[command], plot_format).read_bytes()
    store.write(RESULTS[command], Path())
    program = f"""
from pathlib import Path
from regtopk_bench.report.reports import plot
from regtopk_bench.results import store

plot(store.read(Path()), Path(), {plot_format!r})
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1000000000"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert drawn(RESULTS[command], plot_format).read_bytes() == first


def noisy(metric: str, seeds: int, densities: int, rounds: int) -> Result:
    """Return a result whose curves all jitter in every round, as the worst ones do."""
    draw = np.random.default_rng(0)
    falling = np.linspace(0.0, -8.0, rounds)
    runs: list[Run] = []
    for name in NAMES:
        for density in np.linspace(0.1, 0.9, densities if name != "dense" else 1):
            for seed in range(seeds):
                level = falling + draw.normal(0.0, 0.5, rounds)
                gaps, traces = (10.0**level).tolist(), {}
                if metric == "accuracy":
                    traces = {"accuracy": (0.5 - level / 20.0).tolist(), "loss": (-level).tolist()}
                runs.append(run(name, seed, gaps=gaps, traces=traces, density=float(density)))
    return result(runs, "linreg" if metric == "gap" else "cifar")


@pytest.mark.parametrize("plot_format", ["png", "svg", "pdf"])
@pytest.mark.parametrize("metric", ["gap", "accuracy"])
def test_many_lines_of_thousands_of_rounds_are_small_files(metric: str, plot_format: str) -> None:
    shown = noisy(metric, seeds=3, densities=4 if metric == "gap" else 3, rounds=2500)
    for width in WIDTHS:
        assert drawn(shown, plot_format, width).stat().st_size < LIMIT


def test_without_titles_only_what_tells_panels_apart_is_left() -> None:
    one = RESULTS["cifar"]
    assert any("SYNTHETIC images, density 0.5" in each for each in texts(drawn(one, "svg")))
    assert not any("density" in each for each in texts(drawn(one, "svg", titles=False)))
    two = result([run("topk", density=density) for density in (0.5, 0.25)])
    assert {"density 0.5", "density 0.25"} <= set(texts(drawn(two, "svg", titles=False)))
    kernels = RESULTS["kernels"]
    assert "step, density 0.01" in texts(drawn(kernels, "svg"))
    assert not any(each.startswith("step") for each in texts(drawn(kernels, "svg", titles=False)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", RESULTS)
def test_nothing_is_cut_off(command: str, width: str) -> None:
    from regtopk_bench.report import figures, plots, throughput

    draw = {
        "linreg": plots.convergence_figure,
        "cifar": plots.image_figure,
        "toy": plots.toy_figure,
        "kernels": throughput.throughput_figure,
    }[command]
    with style():
        figure = draw(RESULTS[command], figures.Page(width))
        inches = figure.get_tightbbox().bounds
    left, bottom, width_in, height_in = inches
    assert min(left, bottom) >= 0.0
    assert left + width_in <= figure.get_figwidth()
    assert bottom + height_in <= figure.get_figheight()


def test_a_plot_too_large_for_png_is_one_line(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 500))
    with pytest.raises(ConfigurationError, match="too large for PNG: give --plot-format svg"):
        save(figure, tmp_path / "plot.png")
    save(figure, tmp_path / "plot.svg")
    assert [file.name for file in tmp_path.iterdir()] == ["plot.svg"]
