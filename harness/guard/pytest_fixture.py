"""What the pytest fixture ``equivariance`` does when a test calls it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from equibench.cases.suite import Suite, suite_conditions
from equibench.errors import UsageError
from equibench.evaluation.evaluate import Result, evaluate
from equibench.guard.assertion import Limit, assert_shift_equivariant, save_worst
from equibench.guard.baseline import Baseline, shift_conditions
from equibench.guard.gate import Verdict, failed, judge, worse
from equibench.guard.output_sketch import sketch
from equibench.guard.tolerance import Tolerance, parse_tolerance
from equibench.inference.precision import resolve_device
from equibench.loading.suites import case_names, suite_of
from equibench.statistics.summary import columns, worst_at
from equibench.transforms.shift_plans import parse_shifts

__all__ = ["SHIFTS", "Equivariance"]

SHIFTS = "grid:max=8,step=3"
"""Without a seed, so that reruns are equal: 24 shifts, every residue of strides 2 and 4."""

UPDATE = "--equivariance-update"
WORSE = f"{UPDATE}=worse"

_OPTIONS = ("metrics", "shifts", "device", "precision", "batch", "seed", "seed_forward")


@dataclass
class Equivariance:
    """Measures a model and holds it to limits, or to the baseline of the test.

    Args:
        test: its name, for messages.
        baseline: the file; a second call in the same test takes ``NAME.2.json``.
        update: write the baseline instead of comparing with it: ``better`` where no figure is
            worse, ``worse`` in any case.
        report: a folder for the worst image of a failure, or None.
        settings: options of the marker.
        record: takes a summary of each call.
        show: takes the text of a section of the test's failure report.
        ask: puts a question to who sits at the terminal, and tells whether the answer is yes.
    """

    test: str
    baseline: Path = field(repr=False)
    update: Literal["", "better", "worse"] = field(repr=False)
    report: Path | None = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    record: Callable[[dict[str, Any]], None] = field(repr=False)
    show: Callable[[str], None] = field(repr=False)
    ask: Callable[[str], bool] = field(repr=False)
    _calls: int = field(default=0, init=False, repr=False)

    def __call__(
        self,
        model: Callable[[Tensor], Tensor],
        images: Any,
        *,
        targets: Any = None,
        nmse: Limit | None = None,
        ssim: Limit | None = None,
        delta_psnr: Limit | None = None,
        limits: Mapping[str, Limit] | None = None,
        tolerance: float | Sequence[str] = (),
        outputs: bool = True,
        **options: Any,
    ) -> Result:
        """Fail where a model is less equivariant than it may be.

        Args:
            model: any callable from (B, C, H, W) to (B, C', H, W).
            images: (B, C, H, W), or whatever ``evaluate`` takes as data.
            targets: ground truths (B, C', H, W), for ΔPSNR.
            nmse, ssim, delta_psnr, limits: as for ``assert_shift_equivariant``; without any, the
                baseline is the limit.
            tolerance: what the baseline's figures may get worse by, as a share, or rules as for
                ``equibench check --tolerance``.
            outputs: whether the unshifted outputs must be the baseline's, too; False for a
                network that is trained anew.
            options: ``metrics``, ``shifts``, ``device``, ``precision``, ``batch``, ``seed`` and
                ``seed_forward``, as for ``assert_shift_equivariant``; they win over those of the
                marker.

        Returns:
            What was measured.

        Raises:
            AssertionError: a limit does not hold, a figure is worse than its baseline, there is
                no baseline yet, or an update would make a figure worse and was not told to.
            UsageError: an option that does not exist, or a baseline that cannot be read.
        """
        __tracebackhide__ = True
        chosen = {"shifts": SHIFTS, **self.settings, **options}
        if unknown := [name for name in chosen if name not in _OPTIONS]:
            raise UsageError(
                f"equivariance has no option {unknown[0]!r}: there are {', '.join(_OPTIONS)}"
            )
        self._calls += 1
        asked = {"nmse": nmse, "ssim": ssim, "delta_psnr": delta_psnr, "limits": limits}
        if any(limit is not None for limit in asked.values()):
            return self._limited(model, images, targets, asked, chosen)
        suite = suite_of(images, targets)
        result = evaluate(model, suite, progress=False, **chosen)
        measured = _baseline(model, suite, result, chosen, outputs)
        if self.update:
            self._store(result, measured, _rules(tolerance))
        else:
            self._compare(model, suite, result, measured, _rules(tolerance))
        return result

    def attach(self, benchmark: Any, result: Result) -> None:
        """Put equivariance figures into the ``extra_info`` of a pytest-benchmark fixture."""
        benchmark.extra_info["equivariance"] = _figures(result)

    def _limited(
        self,
        model: Callable[[Tensor], Tensor],
        images: Any,
        targets: Any,
        limits: Mapping[str, Limit | Mapping[str, Limit] | None],
        options: Mapping[str, Any],
    ) -> Result:
        __tracebackhide__ = True
        asked: dict[str, Any] = {**limits, **options}
        try:
            result = assert_shift_equivariant(
                model, images, targets=targets, save=self._folder, **asked
            )
        except AssertionError:
            self.record({"outcome": "failed"})
            raise
        self._record(result, "passed")
        return result

    def _store(self, result: Result, measured: Baseline, rules: Sequence[Tolerance]) -> None:
        __tracebackhide__ = True
        path = self._file
        lost = _lost(path, measured, rules)
        if lost and self.update != "worse":
            told = "\n".join(map(str, lost))
            if not self.ask(f"{told}\nstore {path} with {len(lost)} figures worse?"):
                self._record(result, "not updated")
                raise AssertionError(
                    f"{path} is not updated, for {len(lost)} figures would be worse\n{told}\n"
                    f"if this is meant: pytest {WORSE}"
                )
        measured.write(path)
        for verdict in lost:
            self.show(str(verdict))
        self._record(result, "updated for the worse" if lost else "updated")

    def _compare(
        self,
        model: Callable[[Tensor], Tensor],
        suite: Suite,
        result: Result,
        measured: Baseline,
        rules: Sequence[Tolerance],
    ) -> None:
        __tracebackhide__ = True
        path = self._file
        if not path.exists():
            self._record(result, "failed")
            raise AssertionError(
                f"there is no equivariance baseline for {self.test} yet: run pytest {UPDATE} and "
                f"commit {path}"
            )
        verdicts = judge(Baseline.read(path, UPDATE), measured, rules)
        wrong = failed(verdicts)
        self._record(result, "failed" if wrong else "passed")
        if not wrong:
            return
        lines = [f"{len(wrong)} of {len(verdicts)} figures fail against {path}", *map(str, wrong)]
        if self._folder:
            row = _worst(result, wrong[0])
            lines.append(f"saved: {save_worst(model, suite, row, self._folder)}")
        lines.append(f"if this is meant: pytest {WORSE if worse(wrong) else UPDATE}")
        raise AssertionError("\n".join(lines))

    @property
    def _file(self) -> Path:
        """The baseline of this call."""
        if self._calls == 1:
            return self.baseline
        return self.baseline.with_suffix(f".{self._calls}.json")

    @property
    def _folder(self) -> Path | None:
        """The folder for the worst image of this call."""
        if self.report is None or self._calls == 1:
            return self.report
        return self.report / str(self._calls)

    def _record(self, result: Result, outcome: str) -> None:
        entry: dict[str, Any] = {"outcome": outcome, "figures": _figures(result)}
        if result.repeatability is not None and result.repeatability.kind:
            entry["repeatability"] = result.repeatability.kind
        self.record(entry)


def _worst(result: Result, verdict: Verdict) -> "pd.Series[Any]":
    """The row where the failing metric is worst; NMSE where no metric is to blame."""
    shifted = result.rows[result.rows["draw"] > 0]
    kinds = {kind.name: kind for kind in columns(list(shifted.columns)) if kind.shifted}
    kind = kinds.get(verdict.metric, kinds["eq_nmse"])
    return shifted.iloc[worst_at(shifted[kind.name].to_numpy(dtype=float), kind)]


def _lost(path: Path, measured: Baseline, rules: Sequence[Tolerance]) -> list[Verdict]:
    """What an update would make worse; a baseline that cannot be read has nothing to lose."""
    if not path.exists():
        return []
    try:
        before = Baseline.read(path, UPDATE)
    except UsageError:
        return []
    return worse(judge(before, measured, rules))


def _rules(tolerance: float | Sequence[str]) -> list[Tolerance]:
    if isinstance(tolerance, int | float):
        return [Tolerance(relative=tolerance)]
    return [parse_tolerance(text) for text in tolerance]


def _baseline(
    model: Callable[[Tensor], Tensor],
    suite: Suite,
    result: Result,
    options: Mapping[str, Any],
    outputs: bool,
) -> Baseline:
    first = result.rows.iloc[0]
    cases = case_names(suite)
    shifts = str(options["shifts"])
    chosen = shift_conditions(shifts, repr(parse_shifts(shifts)), int(options.get("seed", 0)))
    device = resolve_device(options.get("device", "auto"))
    return Baseline.of_rows(
        result.rows,
        {"frame": first["frame"], "precision": first["precision"], **chosen},
        {suite.label: suite_conditions(suite, cases)},
        # nothing later could be held against what is not given again
        sketch(model, suite, cases, device, first["precision"])
        if outputs and not first["repeatability"]
        else (),
    )


def _figures(result: Result) -> list[dict[str, Any]]:
    """The summary as plain numbers and text; what was not measured is left out."""
    lines = result.summary.astype(object).to_dict(orient="records")
    return [{str(name): _plain(v) for name, v in line.items() if v == v} for line in lines]


def _plain(value: Any) -> Any:
    """JSON has no infinity."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
