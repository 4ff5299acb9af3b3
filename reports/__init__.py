"""How a run is shown: tables, figures and a page, from a run folder to files.

Every report is a callable ``(run, out) -> files``. Importing one is cheap; matplotlib, seaborn,
Jinja and tabulate are imported when something is drawn.
"""
