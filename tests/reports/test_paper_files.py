"""The paper's tables as Markdown, LaTeX, CSV and page."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from paper_runs import NMSE, network, rows

from equibench.errors import UsageError
from equibench.reports.page.page import render
from equibench.reports.paper.figure4_choice import Asked, Choice, choose
from equibench.reports.paper.side_by_side import paper_tables
from equibench.reports.paper.text import latex, markdown, numbers, orderings, write_paper_tables

pytestmark = pytest.mark.slow

HOSTILE = r"a_b & 50% #1 {x} \y ~^ <b>$z$|"

MARKDOWN = """\
## Table 2, worst change of PSNR on MRI: fastmri, width 1/8

2 cases, 3 shifts of each: 6 comparisons; networks trained on fastmri (preset sample), \
fp32; shifts random:n=3,max=16, canonical frame. Paper: fastMRI knee, 199 volumes, ten shifts of \
each.

| network   |   ΔPSNR [dB] ↓ measured |   paper |
|:----------|------------------------:|--------:|
| APS       |                   0.300 | 0.00086 |

- no: worst ΔPSNR of every APS variant below 0.01 dB: largest: APS 0.300 dB; published: yes
"""


def test_the_markdown_of_a_table(paper_run):
    run = paper_run([rows("a", "fastmri")], {"a": network("APS", "fastmri")})
    text = markdown(paper_tables({"run": run})[2:])
    assert text.startswith(MARKDOWN)
    assert text.removeprefix(MARKDOWN).startswith("\npaper: A. Chaman and I. Dokmanić")


def unescaped(line):
    """A line of LaTeX without what is escaped and without formulas."""
    return re.sub(r"\$[^$]*\$", "", re.sub(r"\\[&%$#_{}\\]", "", line))


def check_latex(text):
    """Environments nest, rows have as many cells as columns, nothing special is left."""
    stack = []
    for verb, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if verb == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    for tabular in re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns = len(re.match(r"\{([lr]+)\}", tabular)[1])
        lines = [line for line in tabular.splitlines() if line.endswith(r" \\")]
        assert len(lines) > 2
        for line in lines:
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert unescaped(line).count("&") + 1 + sum(spans) - len(spans) == columns
    for line in text.splitlines()[1:]:
        assert not re.search(r"[%#~^_<>|]", unescaped(line)), line
        assert unescaped(line).isascii()
        assert unescaped(line).count("{") == unescaped(line).count("}")


def compile_latex(text, folder):
    """Compile where there is a TeX; the structure is checked in any case."""
    check_latex(text)
    if shutil.which("pdflatex"):
        (folder / "paper.tex").write_text(text, encoding="utf-8")
        document = (
            "\\documentclass[twocolumn]{article}\\usepackage[margin=0.75in]{geometry}"
            "\\usepackage{booktabs}\\begin{document}\\input{paper}\\end{document}"
        )
        (folder / "document.tex").write_text(document, encoding="utf-8")
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "document"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout


def test_latex_compiles_and_fits(nine, paper_run, tmp_path):
    tables = paper_tables({"run": nine})
    compile_latex(latex(tables), tmp_path)


def test_latex_of_two_groups_fits(paper_run, tmp_path):
    parts = [rows("m", "fastmri", group=group) for group in ("PD", "PDFS")]
    compile_latex(latex(paper_tables({"run": paper_run(parts, {"m": network("APS")})})), tmp_path)


def test_hostile_names_are_text_in_every_format(paper_run, tmp_path):
    labels = [HOSTILE, HOSTILE + "2"]
    run = paper_run([rows(x, "mri-sample") for x in labels], dict.fromkeys(labels, network("APS")))
    tables = paper_tables({HOSTILE: run})
    compile_latex(latex(tables), tmp_path)
    line = next(line for line in markdown(tables).splitlines() if "a_b" in line)
    assert len(re.findall(r"(?<!\\)\|", line)) == 8
    assert numbers(tables)["label"].unique().tolist() == labels
    page = render({HOSTILE: run})
    assert "<b>$z$" not in page
    assert "&lt;b&gt;$z$|" in page


def test_the_csv_has_every_number_unrounded(nine):
    table = numbers(paper_tables({"run": nine}))
    line = table[
        (table["network"] == "APS-3")
        & (table["quantity"] == "eq_nmse_mean")
        & (table["suite"] == "mri-sample")
    ].iloc[0]
    assert line["measured"] == pytest.approx(NMSE["APS-3"])
    assert (line["published_PD"], line["published_PDFS"]) == (3.10e-7, 1.36e-7)
    assert (line["table"], line["width"], line["training"]) == (
        *(1, 0.125, "trained on mri-sample (preset sample)"),
    )


def test_the_csv_of_orderings_has_a_line_for_each(nine):
    tables = paper_tables({"run": nine})
    lines = orderings(tables)
    assert len(lines) == sum(len(table.decisions) for table in tables)
    assert set(lines["measured"]) == {"yes"}
    assert lines["published"].tolist()[0] == "PD no, PDFS yes"


def test_files_are_written_in_every_format(nine, tmp_path):
    shown = write_paper_tables({"run": nine}, tmp_path / "out")
    folder = tmp_path / "out" / "tables"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("paper-orderings.csv", "paper.csv", "paper.md", "paper.tex"),
    ]
    assert (folder / "paper.md").read_text(encoding="utf-8") == shown


def test_the_page_has_the_papers_tables_as_a_section(nine):
    page = render({"run": nine})
    assert page.count("<h2>Beside the paper</h2>") == 1
    headings = re.findall(r"<h3>(Table \d.*?)</h3>", page)
    assert headings == [table.title for table in paper_tables({"run": nine})]
    assert page.count("<li><b>yes</b>") == 10


def test_a_page_of_several_runs_has_their_networks_in_one_table(nine):
    page = render({"one": nine, "two & more": nine})
    assert "APS-3 (two &amp; more, m2)" in page


def test_figure_4_takes_the_baseline_and_an_aps_network_trained_alike(paper_run):
    models = {
        "other": network("APS", "ct-sample"),
        "aps-3": network("APS-3"),
        "aps-2": network("APS-2"),
        "base": network("Baseline"),
    }
    parts = [rows(label, "mri-sample", 1e-2) for label in models]
    parts += [rows(label, "photo-sample", 1.0, psnr=np.nan) for label in models]
    found = choose(paper_run(parts, models), Asked())
    assert found == Choice("mri-sample", "all-c1", (1, 2), ("base", "aps-2"))
    data = paper_run([rows("base", "mri-sample")], {"base": network("Baseline")}, "second")
    with pytest.raises(UsageError, match="and an APS network trained alike were not measured"):
        choose(data, Asked())
