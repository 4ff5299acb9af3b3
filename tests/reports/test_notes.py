"""What stands under a table: one line for each kind of thing, whoever it is about."""

from report_runs import constant, rows

from equibench.reports.tables.notes import notes_of
from equibench.statistics.summary import summarize


def summary(*parts):
    return summarize([part.assign(repeat_nmse=0.0, **more) for part, more in parts])


def tied(model, suite, error, ties=(1, 0)):
    """A network with near-ties in some of its two cases."""
    part = rows(model, suite, constant(error))
    return part.assign(near_ties=part["case"].map({"c0": ties[0], "c1": ties[1]})), {}


def test_outputs_that_no_shift_could_change_are_named():
    dead = rows("dead", "mri", constant(0.0)).assign(constant=True)
    partly = rows("masks", "photo", constant(0.0))
    partly["constant"] = partly["case"] == "c0"
    live = rows("live", "mri", constant(0.1)).assign(constant=False)
    assert notes_of(summary((dead, {}), (partly, {}), (live, {})), {}) == [
        "constant outputs: dead on mri (2 of 2), masks on photo (1 of 2) of the cases; each "
        "channel is one value throughout, which no shift changes, so that these cases say "
        "nothing of equivariance"
    ]


def test_near_ties_that_make_no_error_are_said_to_make_none_in_one_line():
    found = summary(
        tied("aps-3", "mri", 0.0), tied("aps-5", "mri", 1e-16, (2, 3)), tied("aps-5", "photo", 0.0)
    )
    assert notes_of(found, {}) == [
        "near-ties without an error: aps-3 on mri (50%), aps-5 on mri (100%) and photo (50%) of "
        "the cases; two polyphase components are nearly equal there, so that rounding could "
        "decide, and no shift gives an error beyond rounding"
    ]


def test_near_ties_beside_errors_are_a_line_with_what_they_make_of_the_mean():
    found = summary(
        tied("ours", "mri", 1e-3), tied("ours", "photo", 2e-3, (1, 1)), tied("aps", "mri", 0.0)
    )
    harmless, harmful = notes_of(found, {})
    assert harmless.startswith("near-ties without an error: aps on mri (50%) of the cases; ")
    assert harmful == (
        "near-ties: ours on mri (50% of the cases; their mean NMSE is 1.0e-03, that of the others "
        "1.0e-03) and photo (100% of the cases; their mean NMSE is 2.0e-03); two polyphase "
        "components are nearly equal there, and rounding may decide"
    )


def test_a_kind_of_note_is_one_line_for_all_networks_suites_and_groups():
    random = {"repeatability": "random"}
    drawn = [rows(m, s, constant(0.5)) for m in ("a", "b") for s in ("mri", "photo")]
    found = summary(*((part, {"floor_nmse": 3e-4}) for part in drawn))
    (floor,) = notes_of(found, {})
    assert floor.startswith("floor: a on mri and photo, b on mri and photo; the same image")
    assert "an NMSE of up to 3.0e-04" in floor
    (kind,) = notes_of(summary(*((part, random) for part in drawn)).assign(repeat_nmse=0.2), {})
    assert kind.startswith("random: a on mri and photo, b on mri and photo; the same image")
    assert "by an NMSE of up to 2.0e-01" in kind
    groups = [rows("a", "mri", constant(float("inf")), group=group) for group in ("PD", "PDFS")]
    (infinite,) = notes_of(summary(*((part, {}) for part in groups)), {})
    assert infinite.startswith("inf: a on mri PD, first in case c0 and mri PDFS, first in case c0;")
