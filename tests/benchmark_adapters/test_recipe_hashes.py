"""Recipe hashes stay equal to the hashes in published records."""

from dataclasses import replace

import pytest

from benchmark_adapters.scoring.recipes import RECIPES
from benchmark_adapters.types import Recipe

PUBLISHED = {
    "quickstart/1": "d55d5b352a19190f58cde6afc0e1515ef6a7bd9e4febf0adb0312cdd059fc0b2",
    "eccv2024/1": "6ffd612d245c99edf3ce6fce6dad4f047b70ac20cacba548d87fd4c84af1a272",
    "eccv2024/2": "62836c8e4daf0a664c67fc08a6c45f9f72b31023a6433360c1817bdd386beaca",
    "dsa/1": "f4389f16cc68eec5f04ca9c2a0ba6f8a858c96abb0234274b9ed2ff7bb30fa76",
    "dsa-steps/1": "c60ba94f446fd676d4c82dfc9f35288a410a7e1cb8b3c55baaa4cbd6849fa11b",
    "dcbench/1": "cac55fe2c7535de04e9004985ca8491628101a913d1993f7d5f5324dfacf2066",
    "ddranking-hard/1": "89352636b0f6566e1130d5985b78b339d6b854e91a99b1dc85bcf302507d825a",
    "ddranking-plain/1": "d3f348ce4d545bbdcd6c4ab77f1a07e539db9c049ceb9dfbca0861ed180f3ebb",
}


def test_hashes_of_shipped_recipes_do_not_change():
    """A changed recipe needs a new name because its scores are not comparable with the old ones."""
    assert {name: recipe.sha256 for name, recipe in RECIPES.items()} == PUBLISHED


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.02},
        {"name": "mine/1"},
        {"epochs": 2000, "steps": None},
        {"epochs": 2000, "steps": None, "lr_drop_after": 7},
        {"epochs": None, "steps": 5, "lr_drop_after": None},
    ],
)
def test_changed_recipe_has_a_different_hash(recipe, change):
    if recipe.schedule == "one-cycle" and "steps" in change:
        change = {"steps": 5}
    assert replace(recipe, **change).sha256 not in PUBLISHED.values()


def test_summary_does_not_affect_the_hash():
    recipe = RECIPES["eccv2024/1"]
    assert replace(recipe, summary="other words").sha256 == recipe.sha256


def test_one_cycle_recipes_of_plugins_keep_the_hash_of_older_versions():
    recipe = Recipe(
        "few/1",
        student="convnet3",
        width=8,
        steps=4,
        batch_size=20,
        lr=0.05,
        schedule="one-cycle",
        augment="dsa",
    )
    assert recipe.sha256 == "7a5ccb63ed68522a5e314a594d21f7f45d0f793ff135c57a34c05b4d102873b0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "rebuild-halfway"}, "expected one-cycle or step"),
        ({"schedule": "one-cycle"}, "one-cycle needs steps"),
        ({"epochs": None}, "step needs either epochs or steps"),
        ({"steps": 5}, "step needs either epochs or steps"),
        ({"epochs": None, "steps": 5}, "lr_drop_after needs epochs"),
        ({"epochs": 300}, "lr_drop_after 501 is not one of its 300 epochs"),
        ({"lr_drop_after": -1}, "lr_drop_after -1 is not one of"),
    ],
)
def test_contradictory_fields_are_rejected(change, message):
    """A recipe that a plugin wrote for other fields is skipped rather than trained differently."""
    with pytest.raises(ValueError, match=message):
        replace(RECIPES["eccv2024/1"], **change)
