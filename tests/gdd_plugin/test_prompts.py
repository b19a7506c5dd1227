"""Tests of turning class names into prompts."""

import pytest

from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from gdd_plugin import prompts

DATASETS = [FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET]


def prompts_of(dataset, style="name"):
    return prompts.class_prompts(dataset.class_names, dataset.name, style, dataset.synonyms)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("style", ["bare", *prompts.styles()])
def test_every_class_has_clean_and_distinct_prompts(dataset, style):
    texts = prompts_of(dataset, style)
    assert len(texts) == dataset.num_classes
    everything = [prompt for of_class in texts for prompt in of_class]
    assert len(set(everything)) == len(everything)
    assert not [
        prompt
        for prompt in everything
        if set(prompt) & set('_"{}') or prompt != " ".join(prompt.split())
    ]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_senses_refer_to_existing_classes(dataset):
    assert set(prompts.class_prompts_data().senses.get(dataset.name, {})) <= set(
        dataset.class_names
    )


def test_prompts_have_the_right_order_and_sense():
    assert prompts_of(CIFAR100)[1] == ["aquarium fish"]
    assert prompts_of(CIFAR100)[CIFAR100.class_names.index("ray")] == ["ray fish"]
    # This is n03126707, the machine and not the bird.
    assert prompts_of(TINY_IMAGENET)[95] == ["construction crane"]
    assert prompts_of(TINY_IMAGENET, "bare")[0] == ["goldfish, Carassius auratus"]
    assert prompts_of(FASHION_MNIST, "bare")[0] == ["T-shirt/top"]
    assert prompts_of(FASHION_MNIST, "photo")[7] == ["a photo of a Sneaker"]
    assert len(prompts_of(CIFAR10, "diverse")[0]) == len(prompts.check_style("diverse")) > 4


@pytest.mark.parametrize("dataset", [CIFAR100, TINY_IMAGENET], ids=lambda dataset: dataset.name)
def test_every_class_of_a_dataset_with_kinds_has_one(dataset):
    assert set(prompts.class_prompts_data().kinds[dataset.name]) == set(dataset.class_names)


def test_kinds_are_named_where_they_are_known():
    ray = CIFAR100.class_names.index("ray")
    assert prompts_of(CIFAR100, "kind")[ray] == ["a photo of a ray fish, a kind of fish"]
    assert prompts_of(CIFAR10, "kind")[0] == ["a photo of an airplane"]
    assert prompts_of(CIFAR10, "{name}: {kind}")[0] == ["airplane: thing"]
    assert len(prompts_of(TINY_IMAGENET, "kinds")[0]) > 1


def test_class_prompts_accepts_templates_and_refuses_unknown_styles():
    sketches = prompts_of(CIFAR10, "a sketch of {name}, {name}")
    assert sketches[0] == ["a sketch of airplane, airplane"]
    with pytest.raises(ValueError, match=r"expected bare, name, photo, .* or a template"):
        prompts_of(CIFAR10, "nmae")


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("lawn_mower", "lawn mower"),
        ('"Yorkshire  terrier"', "Yorkshire terrier"),
        ("potter's wheel", "potter's wheel"),
    ],
)
def test_clean_removes_underscores_quotes_and_repeated_spaces(name, cleaned):
    assert prompts.clean(name) == cleaned
