"""What counts as better and as worse."""

from __future__ import annotations

import pytest

from tests.autobahn.comparison import differences, summary, table

GOOD = ("OK", "OK")


@pytest.mark.parametrize(
    ("floor", "ours", "word"),
    [
        (("FAILED", "OK"), GOOD, "better"),
        (GOOD, ("FAILED", "OK"), "worse"),
        (GOOD, ("OK", "UNCLEAN"), "worse"),
        (GOOD, ("UNIMPLEMENTED", "OK"), "worse"),
        (("FAILED", "OK"), ("OK", "WRONG CODE"), "worse"),
        (GOOD, ("NON-STRICT", "OK"), "timing"),
        (("NON-STRICT", "OK"), GOOD, "timing"),
        (GOOD, ("something new", "OK"), "worse"),
    ],
)
def test_a_case_in_which_they_differ(floor, ours, word):
    (found,) = differences({"1.1.1": floor}, {"1.1.1": ours})
    assert (found.case, found.word) == ("1.1.1", word)


def test_cases_that_end_alike_are_no_differences_and_the_others_are_in_order():
    floor = {"1.1.1": GOOD, "10.1.1": GOOD, "9.1.1": GOOD}
    ours = {"1.1.1": GOOD, "10.1.1": ("FAILED", "OK"), "9.1.1": ("FAILED", "OK")}
    assert [found.case for found in differences(floor, ours)] == ["9.1.1", "10.1.1"]


def test_a_case_that_was_not_run_has_failed():
    assert [found.word for found in differences({"1.1.1": GOOD}, {})] == ["worse"]


def test_the_table_shows_both():
    shown = table(differences({"1.1.1": ("FAILED", "OK")}, {"1.1.1": GOOD}))
    assert shown.splitlines()[-1] == "| 1.1.1 | FAILED / OK | OK / OK | better |"


def test_the_summary_counts_the_behaviours():
    assert summary({"1": GOOD, "2": GOOD, "3": ("FAILED", "OK")}) == "2 OK, 1 FAILED"
