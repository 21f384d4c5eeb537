"""Tables in LaTeX: what is typed, and that a two-column paper takes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from regtopk_bench.report.latex import latex
from regtopk_bench.report.table import Column, Command, Entry, Row, Table
from tests.report.pages import PAGES, tables_of
from tests.results.samples import HOSTILE

PAPER = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""
ENGINE = next(filter(shutil.which, ("pdflatex", "tectonic")), None)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("-27.14", "$-27.14$"),
        ("−27.14", "$-27.14$"),
        ("27.14", "27.14"),
        ("-27.14±0.22", r"$-27.14 \pm 0.22$"),
        ("+0.5±1e-06", r"$+0.5 \pm 10^{-6}$"),
        ("1e-06", "$10^{-6}$"),
        ("-1e+08", "$-10^{8}$"),
        ("2.5e-12", r"$2.5 \times 10^{-12}$"),
        ("1.24 [1.20, 1.30]", "1.24 [1.20, 1.30]"),
        ("[-0.5, 1.5]", "[$-0.5$, 1.5]"),
        ("–", "--"),
        ("J=1,000, k/J=0.01", "$J=1{,}000$, $k/J=0.01$"),
        ("η=0.01 (cosine)", r"$\eta=0.01$ (cosine)"),
        ("regtopk:mu=4,q=1e+08", r"RegTop-$k$, $\mu=4$, $q=10^{8}$"),
        ("topk, dense: 4-byte indices", "Top-$k$, dense: 4-byte indices"),
        ("RegTop-k minus Top-k", "RegTop-$k$ minus Top-$k$"),
        ("torch.topk", "torch.topk"),
        ("linreg/regtopk/seed=0", "linreg/regtopk/seed=0"),
        ("log10 gap", r"$\log_{10}$ gap"),
        ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"),
        ("0e12ab3e45", "0e12ab3e45"),
        ("naïve Größe", r"na\"{i}ve Gr\"{o}\ss{}e"),
        ("名", r"\textbackslash{}u540d"),
        ("½", r"\textbackslash{}xbd"),
        ("50 % of a_b & c\\d {$x$} #1 ~^", None),
    ],
)
def test_what_is_typed(text: str, typed: str | None) -> None:
    if typed is None:
        typed = (
            r"50 \% of a\_b \& c\textbackslash{}d \{\$x\$\} \#1 \textasciitilde{}"
            r"\textasciicircum{}"
        )
    assert latex(text) == typed


def test_a_table_is_a_float_with_caption_label_and_notes() -> None:
    table = Table(
        "Runs, η=0.1",
        [
            Column("algorithm", "a", left=True),
            Column("log10\ngap", "b"),
            Column("", "c", hidden=True),
        ],
        [
            Row([Entry("topk"), Entry("-1.5±0.1"), Entry("")], section_ends=True),
            Row([Entry("regtopk"), Entry("-2.5±0.1"), Entry("")], marked=True, section_ends=True),
        ],
        ["* best", "regtopk: mu=4", Command("regtopk-bench check --select 'a%b'")],
    )
    assert (
        table.latex("tab:runs")
        == r"""% Needs \usepackage{booktabs}.
% regtopk-bench check --select 'a%b'
\begin{table}
\centering
\small
\caption{Runs, $\eta=0.1$}
\label{tab:runs}
\smallskip
\sbox{0}{%
\begin{tabular}{@{}lr@{}}
\toprule
 & $\log_{10}$ \\
algorithm & gap \\
\midrule
Top-$k$ & $-1.5 \pm 0.1$ \\
\midrule
\textbf{\boldmath RegTop-$k$}\textsuperscript{*} & \textbf{\boldmath $-2.5 \pm 0.1$} \\
\bottomrule
\end{tabular}%
}\usebox{0}
\par\smallskip
\begin{minipage}{\wd0}
\raggedright\footnotesize
\textsuperscript{*}\,best\par
RegTop-$k$: $\mu=4$\par
\end{minipage}
\end{table}
"""
    )


def test_a_wide_table_takes_both_columns() -> None:
    entries = [Entry("1234567890")]
    columns = [Column("a", "a")]
    assert r"\begin{table}" in Table("Title", columns * 3, [Row(entries * 3)]).latex()
    assert r"\begin{table*}" in Table("Title", columns * 5, [Row(entries * 5)]).latex()
    assert r"\scriptsize" in Table("Title", columns * 9, [Row(entries * 9)]).latex()


def compiled(text: str, folder: Path) -> str:
    """Return what LaTeX says of a paper with this text."""
    assert ENGINE
    (folder / "paper.tex").write_text(PAPER % text, encoding="utf-8")
    options = ("-interaction=nonstopmode", "-halt-on-error") if ENGINE == "pdflatex" else ()
    done = subprocess.run(
        [ENGINE, *options, "paper.tex"], cwd=folder, capture_output=True, check=False
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    return said


@pytest.mark.skipif(ENGINE is None, reason="there is neither pdflatex nor tectonic")
@pytest.mark.parametrize("name", PAGES)
def test_a_two_column_paper_takes_every_table(name: str, tmp_path: Path) -> None:
    tables = tables_of(name)
    text = "\n".join(table.latex(f"tab:{number}") for number, table in enumerate(tables))
    said = compiled(text, tmp_path)
    if "long" not in name and name in ("linreg", "linreg-seeds", "cifar", "cifar-seeds", "kernels"):
        assert not re.search(r"Overfull \\hbox", said)


@pytest.mark.skipif(ENGINE is None, reason="there is neither pdflatex nor tectonic")
def test_a_paper_takes_whatever_somebody_calls_a_sparsifier(tmp_path: Path) -> None:
    names = [*HOSTILE, "Größe", "名", "[a]", "*", "±×−–…→≤≥∞²αωμ~^|<>\"'`"]
    rows = [
        Row([Entry(name), Entry("-1.5")], marked=number % 2 == 0)
        for number, name in enumerate(names)
    ]
    columns = [Column(names[1], "a", left=True), Column(names[2], "b")]
    compiled(Table(names[0], columns, rows, names).latex("tab:hostile"), tmp_path)
