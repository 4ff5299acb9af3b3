"""A tracker: equibench run -m … -s … --track own_tracker.py:Lines,file=lines.txt"""

import equibench as eb


class Lines(eb.Tracker):
    def __init__(self, file: str = "lines.txt"):
        self.file = file

    def on_unit(self, run, unit):
        worst = unit.rows["eq_nmse"].max()
        with open(self.file, "a") as lines:
            print(f"{unit.done}/{run.units} {unit.model} {unit.suite} {worst:.1e}", file=lines)

    def on_run_end(self, run, state):
        with open(self.file, "a") as lines:
            print(f"{run.name}: {state}", file=lines)
