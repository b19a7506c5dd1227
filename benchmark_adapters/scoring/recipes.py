"""The built-in recipes.

Recipes are frozen: a changed setting needs a new recipe name.
"""

from dataclasses import replace

from benchmark_adapters.types import Recipe

QUICKSTART = Recipe(
    name="quickstart/1",
    student="convnet3",
    width=64,
    batch_size=64,
    steps=100,
    lr=0.05,
    schedule="one-cycle",
    augment="none",
    summary="a fixed number of steps at any IPC, for a score within seconds on a laptop",
)
ECCV2024 = Recipe(
    name="eccv2024/1",
    student="convnet3",
    batch_size=256,
    lr=0.01,
    schedule="step",
    epochs=1001,
    lr_drop_after=501,
    reset_optimizer=True,
    augment="dsa",
    summary="the ECCV 2024 challenge's evaluator: 1001 epochs with DSA",
)
ECCV2024_TF32 = replace(
    ECCV2024,
    name="eccv2024/2",
    tf32_convolutions=True,
    summary="eccv2024/1 with TF32 convolutions on a GPU, as that evaluator runs there",
)
DSA = replace(ECCV2024, name="dsa/1", summary="DC-BENCH with DSA: 1001 epochs")
DSA_STEPS = replace(
    DSA,
    name="dsa-steps/1",
    # As many as dsa/1 has for 500 images: 2 in each of 1001 epochs.
    steps=2002,
    epochs=None,
    lr_drop_after=None,
    summary="dsa/1 with 2002 steps at any IPC, for sets of many images",
)
DCBENCH = replace(
    DSA,
    name="dcbench/1",
    epochs=301,
    lr_drop_after=151,
    augment="none",
    summary="DC-BENCH without augmentation: 301 epochs",
)
DDRANKING_HARD = replace(
    ECCV2024,
    name="ddranking-hard/1",
    batch_size=128,
    epochs=1000,
    lr_drop_after=499,
    reset_optimizer=False,
    augment="dsa-aligned",
    # DD-Ranking normalises CIFAR-100 with CIFAR-10's mean and standard deviation.
    normalisation=(("cifar100", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),),
    summary="DD-Ranking's hard-label training: 1000 epochs with its DSA; "
    "reports the final accuracy, not the best test accuracy",
)
DDRANKING_PLAIN = replace(
    DDRANKING_HARD,
    name="ddranking-plain/1",
    augment="none",
    summary="ddranking-hard/1 without augmentation, for the augmentation-robust score",
)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        QUICKSTART,
        ECCV2024,
        ECCV2024_TF32,
        DSA,
        DSA_STEPS,
        DCBENCH,
        DDRANKING_HARD,
        DDRANKING_PLAIN,
    )
}
