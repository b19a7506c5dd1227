import pytest

from benchmark_adapters.types import UserError
from gdd_plugin.improvement.work import AUTO, FIXED, MAX_REFINED, Work, parse_count, parse_visits

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


def test_counts_are_numbers_or_auto():
    assert (parse_count("auto"), parse_count("12")) == (None, 12)
    assert (parse_visits("auto"), parse_visits("12")) == ((None, None), (12, None))
    assert parse_visits("7/12") == (12, 7)
    for text in ("0", "-1", "few", "1.5"):
        with pytest.raises(ValueError, match="expected auto, or a number from 1"):
            parse_count(text)
