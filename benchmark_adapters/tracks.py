"""The built-in tracks.

Tracks are frozen: to change a rule, add a new track.
"""

from benchmark_adapters.scoring.recipes import DDRANKING_HARD, DSA, DSA_STEPS, ECCV2024, QUICKSTART
from benchmark_adapters.types import Track

TRACKS = (
    Track(
        name="quickstart",
        datasets=("fashion-mnist",),
        time_limit=60,
        ipc=(20,),
        default_ipc=20,
        recipe=QUICKSTART.name,
        repeats=3,
        bundled_data=True,
        summary="one minute on a laptop: bundled data, 20 images per class",
    ),
    Track(
        name="fashion-mnist",
        datasets=("fashion-mnist",),
        time_limit=600,
        ipc=(1, 10, 50),
        default_ipc=10,
        recipe=DSA.name,
        repeats=5,
        ipc_repeats=((50, 3),),
        summary="Fashion-MNIST scored as in the condensation papers: "
        "ten minutes, 1, 10 or 50 images per class",
    ),
    Track(
        name="fashion-mnist-large",
        datasets=("fashion-mnist",),
        time_limit=600,
        ipc=(500,),
        default_ipc=500,
        recipe=DSA_STEPS.name,
        repeats=3,
        summary="Fashion-MNIST with 500 images per class: ten minutes, "
        "and as many training steps as 50 images per class get",
    ),
    Track(
        name="eccv2024-fixed",
        datasets=("cifar100", "tiny-imagenet"),
        time_limit=600,
        ipc=(10,),
        default_ipc=10,
        recipe=ECCV2024.name,
        repeats=3,
        summary="the ECCV 2024 challenge with 10 images per class: ten minutes",
    ),
    Track(
        name="eccv2024-generative",
        datasets=("cifar100", "tiny-imagenet"),
        time_limit=600,
        ipc=(),
        default_ipc=None,
        recipe=ECCV2024.name,
        repeats=3,
        summary="the ECCV 2024 challenge's generative track: ten minutes, as many images as fit",
    ),
    Track(
        name="ddranking",
        datasets=("cifar10", "cifar100", "tiny-imagenet"),
        time_limit=600,
        ipc=(1, 10, 50),
        default_ipc=10,
        recipe=DDRANKING_HARD.name,
        repeats=5,
        summary="DD-Ranking's training with hard labels; "
        "`ddbench robustness` computes its LRS and ARS",
    ),
)
