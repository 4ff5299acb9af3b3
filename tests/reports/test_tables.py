"""The summary as a table: Markdown, LaTeX, CSV and text."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_runs import constant, rows

from equibench.errors import UsageError
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.summary_sheet import sheet
from equibench.reports.registered import tables
from equibench.reports.tables.summary_table import summary_table
from equibench.reports.tables.table_files import TABLES

MARKDOWN = """\
| suite        | model         |   NMSE ↓ mean |   median |   worst | worst at    |   SSIM between outputs ↑ mean |   worst |   ΔPSNR [dB] ↓ mean |   worst |
|:-------------|:--------------|--------------:|---------:|--------:|:------------|------------------------------:|--------:|--------------------:|--------:|
| mri-sample   | unet-baseline |       6.0e-03 |  6.0e-03 | 8.0e-03 | c1 (-3, -3) |                        0.9940 |  0.9920 |              0.0600 |  0.0800 |
| mri-sample   | unet-aps      |             0 |        0 |       0 | –           |                        1.0000 |  1.0000 |                   0 |       0 |
| photo-sample | unet-baseline |       2.0e-02 |  2.0e-02 | 2.0e-02 | c0 (-3, -3) |                        0.9800 |  0.9800 |                   – |       – |
| photo-sample | unet-aps      |           NaN |      NaN |     NaN | c0 (-3, -3) |                             – |       – |                   – |       – |

untrained: unet-baseline (networks start from a fixed seed)
"""  # noqa: E501


def test_the_markdown_table_says_mean_worst_and_where(two_suites):
    data = RunData.read(two_suites)
    assert summary_table(data.summary, weights=data.weights) == MARKDOWN


def test_the_latex_table_is_booktabs_and_escaped(make):
    run = make([rows("a_b & c", "noise", constant(float("inf")), truth=False, group="x%")])
    data = RunData.read(run)
    table = summary_table(data.summary, format="latex", weights={"a_b & c": "untrained"})
    assert (
        table
        == r"""% \usepackage{booktabs, siunitx}
\begingroup\sisetup{detect-weight, mode=text}
\begin{tabular}{lllrrrlrr}
\toprule
 &  &  & \multicolumn{4}{c}{NMSE $\downarrow$} & \multicolumn{2}{c}{SSIM between outputs $\uparrow$} \\
\cmidrule(lr){4-7}
\cmidrule(lr){8-9}
suite & group & model & mean & median & worst & worst at & mean & worst \\
\midrule
noise & x\% & a\_b \& c & $\infty$ & $\infty$ & $\infty$ & c0 (-3, -3) & $\infty$ & $\infty$ \\
\bottomrule
\end{tabular}
\par{\footnotesize untrained: all networks (networks start from a fixed seed)}
\par{\footnotesize inf: a\_b \& c on noise x\%, first in case c0; the unshifted output is zero, and an error has nothing to be held against}
\endgroup
"""  # noqa: E501
    )


def test_latex_aligns_numbers_and_the_best_are_bold(two_suites):
    table = summary_table(RunData.read(two_suites).summary, format="latex")
    assert "S[table-format=1.1e-2]" not in table  # exponents have one digit here
    assert "llS[table-format=1.1e-1]S[table-format=1.1e-1]S[table-format=1.1e-1]l" in table
    assert "mri-sample & unet-baseline & 6.0e-3 & 6.0e-3 & 8.0e-3 & c1 (-3, -3) & 0.9940" in table
    assert r"unet-aps & \bfseries 0 & \bfseries 0 & \bfseries 0 & -- & \bfseries 1.0000" in table
    assert "photo-sample & unet-aps & {NaN} & {NaN} & {NaN} & c0 (-3, -3) & {--}" in table


@pytest.mark.parametrize("name", [name for name in TABLES if name != "border"])
def test_latex_tables_compile(name, two_suites, hostile, tmp_path):
    """With TeX and siunitx where they are; the number of cells in each line in any case."""
    for run in (two_suites, hostile):
        text = TABLES[name](RunData.read(run))["tex"]
        check_latex(text)
        if latex_packages("booktabs.sty", "siunitx.sty"):
            document = r"\documentclass{article}\usepackage{booktabs, siunitx}"
            document += rf"\begin{{document}}{text}\end{{document}}"
            (tmp_path / "table.tex").write_text(document, encoding="utf-8")
            command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-2000:]


def latex_packages(*names):
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    return all(subprocess.run(["kpsewhich", n], capture_output=True).stdout for n in names)


def check_latex(text):
    """As many cells in each line as the table has columns, and balanced braces."""
    (columns,) = re.findall(r"\\begin\{tabular\}\{(.*)\}\n", text)
    count = len(re.sub(r"S\[[^]]*\]", "S", columns))
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(lines) > 1
    for line in lines:
        plain = re.sub(r"\\[&%$#_{}]", "", line)
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", plain)]
        assert plain.count("&") + 1 + sum(spans) - len(spans) == count
        assert plain.count("{") == plain.count("}")


def test_csv_is_the_whole_summary(two_suites):
    summary = RunData.read(two_suites).summary
    assert summary_table(summary, format="csv") == summary.to_csv(index=False)


def test_other_metrics_can_be_asked_for(two_suites):
    text = summary_table(RunData.read(two_suites).summary, metrics=["psnr"])
    line = text.splitlines()[2]
    assert line.split()[:10:2] == ["|"] * 5
    assert line.split()[1:12:2] == ["mri-sample", "unet-baseline", "30.50", "30.50", "30.00", "c0"]


def test_quality_is_told_from_what_shifts_do_to_it(two_suites):
    summary = RunData.read(two_suites).summary
    for metrics in (["eq_ssim", "ssim"], ["ssim"], ["eq_ssim"]):
        heading = summary_table(summary, metrics=metrics, statistics=["mean"]).splitlines()[0]
        assert ("SSIM between outputs ↑ mean" in heading) == ("eq_ssim" in metrics)
        assert ("SSIM with the truth ↑ mean" in heading) == ("ssim" in metrics)
        assert heading.count("SSIM") == len(metrics)


def test_a_heading_that_is_wider_than_its_columns_is_whole_where_there_is_room(two_suites):
    summary = RunData.read(two_suites).summary
    wide, narrow = (summary_table(summary, format="text", width=w) for w in (120, 97))
    assert "SSIM between outputs ↑" in wide.splitlines()[0]
    assert "SSIM betw… outputs ↑" in narrow.splitlines()[0]
    assert len(narrow.splitlines()[0]) <= 97


def test_a_table_shows_what_reading_a_result_says_it_does(two_suites):
    page = (Path(__file__).parents[2] / "docs/reading.md").read_text(encoding="utf-8")
    asked = dict(re.findall(r"`--(columns|metrics) (\w+,[\w,]+)`", page))
    summary = RunData.read(two_suites).summary
    heading = summary_table(summary).splitlines()[0]
    assert "ΔPSNR" in heading
    assert "with the truth" not in heading
    assert "interval" not in heading
    metrics, columns = (asked[name].split(",") for name in ("metrics", "columns"))
    assert "PSNR with the truth" in summary_table(summary, metrics=metrics)
    assert "95 % interval" in summary_table(summary, statistics=columns)
    (quality,) = [b for b in sheet({"": RunData.read(two_suites)}).blocks if "truth" in b.heading]
    assert [name.text for name in quality.names] == ["PSNR [dB] ↑", "SSIM ↑"]


def test_an_unknown_format_is_a_usage_error(two_suites):
    with pytest.raises(UsageError, match="choose markdown, csv, latex or text"):
        summary_table(RunData.read(two_suites).summary, format="html")


def test_a_table_of_hostile_names_keeps_its_shape(hostile):
    summary = RunData.read(hostile).summary
    line = summary_table(summary).splitlines()[2]
    assert r"\<script>alert('1')\</script>" in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 11
    assert r"\textbar{}\&\$x\_\{1\}\$\%\textbackslash{}" in summary_table(summary, format="latex")


def test_tables_are_files_with_stable_names(two_suites, tmp_path):
    written = tables(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    stems = ("summary", "leaderboard", "power-of-two")
    assert names == [f"tables/{n}.{s}" for n in stems for s in ("csv", "md", "tex")]
    assert all(file.stat().st_size for file in written)


TEXT = """\
                                             NMSE ↓
suite         model             mean   median    worst  worst at
mri-sample    unet-aps             0        0        0  –
              unet-baseline  6.0e-03  6.0e-03  8.0e-03  c1 (-3, -3)

photo-sample  unet-baseline  2.0e-02  2.0e-02  2.0e-02  c0 (-3, -3)
              unet-aps           NaN      NaN      NaN  c0 (-3, -3)

left out for width: SSIM between outputs ↑ mean, SSIM between outputs ↑ worst, ΔPSNR [dB] ↓ mean, ΔPSNR [dB] ↓ worst
"""  # noqa: E501


def test_text_fits_the_terminal_and_says_what_it_leaves_out(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, format="text", width=70, sort="eq_nmse_mean")
    assert text == TEXT
    for width in (60, 80, 100, 200):
        text = summary_table(summary, format="text", width=width)
        assert max(map(len, text.split("\nleft out")[0].splitlines())) <= width


def test_colour_marks_the_best(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, format="text", width=70, colour=True)
    assert "\x1b[1m      0\x1b[0m" in text
    assert re.sub(r"\x1b\[\dm", "", text) == summary_table(summary, format="text", width=70)


def test_models_are_sorted_best_first_and_nan_last(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, sort="eq_ssim_worst")
    order = re.findall(r"(mri|photo)-sample *\| unet-(\w+)", text)
    assert order == [("mri", "aps"), ("mri", "baseline"), ("photo", "baseline"), ("photo", "aps")]


def test_what_cannot_be_sorted_by_or_shown_is_named(two_suites):
    summary = RunData.read(two_suites).summary
    with pytest.raises(UsageError, match="no such column; did you mean eq_nmse_worst"):
        summary_table(summary, sort="eq_nmse_wurst")
    with pytest.raises(UsageError, match="this run has no metric 'nmsse': choose eq_nmse, "):
        summary_table(summary, metrics=["nmsse"])


def test_models_and_suites_come_in_the_order_of_the_run(two_suites):
    data = RunData.read(two_suites)
    assert data.models == ["unet-baseline", "unet-aps"]
    assert data.suites == ["mri-sample", "photo-sample"]


def test_the_table_is_markdown_where_there_is_no_terminal(cli, two_suites):
    status, out, _ = cli("table", "run", "--metrics", "psnr", "--sort", "psnr_mean")
    assert status == 0
    assert out.startswith("| suite        | model         |   PSNR with the truth [dB] ↑ mean |")
    status, out, _ = cli("table", "run", "--format", "text")
    assert "\x1b" not in out
    assert max(map(len, out.split("\nleft out")[0].splitlines())) <= 120


def test_on_a_terminal_the_table_has_colour_unless_it_is_not_wanted(cli, two_suites, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    assert "\x1b[1m" in cli("table", "run")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    _, out, _ = cli("table", "run")
    assert "\x1b" not in out
    assert "left out for width" in out
