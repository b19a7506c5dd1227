import pytest

from benchmark_adapters.types import UserError
from gdd_plugin.improvement.work import (
    AUTO,
    FIXED,
    MAX_REFINED,
    Work,
    parse_count,
    parse_sweeps,
    parse_visits,
)

DEFAULT = Work(AUTO, AUTO)


def test_by_default_a_set_is_selected_and_refined():
    work = DEFAULT.decide("fashion-mnist", 100, "")
    assert (work.select, work.refine) == ("regression", "pixels")
    assert (work.pool, work.sweeps, work.visits) == (None, None, None)


def test_large_sets_are_selected_but_not_refined():
    work = DEFAULT.decide("fashion-mnist", MAX_REFINED + 1, "")
    assert (work.select, work.refine) == ("regression", "none")
    assert Work(AUTO, "pixels").decide("", MAX_REFINED + 1, "").refine == "pixels"


def test_counts_of_quickstart_are_fixed_unless_they_are_given():
    fixed = FIXED["quickstart"]
    work = DEFAULT.decide("quickstart", 200, "")
    assert (work.pool, work.sweeps, work.visits) == (fixed.pool, fixed.sweeps, fixed.visits)
    work = Work(AUTO, AUTO, visits=3, last_visit=2).decide("quickstart", 200, "")
    assert (work.pool, work.visits, work.last_visit) == (fixed.pool, 3, 2)


def test_an_obstacle_leaves_sampling_alone_unless_a_phase_was_requested():
    assert DEFAULT.decide("quickstart", 200, "needs X").is_sampling_alone
    assert Work("none", AUTO).decide("quickstart", 200, "needs X").is_sampling_alone
    with pytest.raises(UserError, match=r"^--option refine=latents needs X$"):
        Work(AUTO, "latents").decide("quickstart", 200, "needs X")


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (Work("none", "none", pool=5), "--option pool=5 has no effect without select"),
        (Work("kmeans", "none", sweeps=2), "--option sweeps=2 has no effect without select=reg"),
        (Work(AUTO, "none", visits=3), "--option visits=3 has no effect without refine"),
    ],
)
def test_counts_of_a_phase_that_does_not_run_are_refused(work, message):
    with pytest.raises(UserError, match=message):
        work.decide("quickstart", 200, "")


def test_counts_are_numbers_or_auto():
    assert (parse_count("auto"), parse_count("12")) == (None, 12)
    assert (parse_visits("auto"), parse_visits("12")) == ((None, None), (12, None))
    assert parse_visits("7/12") == (12, 7)
    # A run that was cut before its first sweep or visit reports these.
    assert (parse_sweeps("0"), parse_visits("0/12")) == (0, (12, 0))
    for text in ("0", "-1", "few", "1.5"):
        with pytest.raises(ValueError, match="expected auto, or a number from 1"):
            parse_count(text)
