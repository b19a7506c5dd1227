"""Class names to prompts."""

import pytest

from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST, TINY_IMAGENET
from gdd_plugin import prompts

DATASETS = [FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET]


def of(dataset, style="name"):
    return prompts.class_prompts(dataset.class_names, dataset.name, style, dataset.synonyms)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("style", ["bare", *prompts.styles()])
def test_every_class_has_clean_prompts_of_its_own(dataset, style):
    texts = of(dataset, style)
    assert len(texts) == dataset.num_classes
    everything = [prompt for of_class in texts for prompt in of_class]
    assert len(set(everything)) == len(everything)
    assert not [
        prompt
        for prompt in everything
        if set(prompt) & set('_"{}') or prompt != " ".join(prompt.split())
    ]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_senses_are_of_classes_that_exist(dataset):
    assert set(prompts.class_prompts_data().senses.get(dataset.name, {})) <= set(
        dataset.class_names
    )


def test_order_and_meaning():
    assert of(CIFAR100)[1] == ["aquarium fish"]
    assert of(CIFAR100)[CIFAR100.class_names.index("ray")] == ["ray fish"]
    assert of(TINY_IMAGENET)[95] == ["construction crane"]  # n03126707, not the bird
    assert of(TINY_IMAGENET, "bare")[0] == ["goldfish, Carassius auratus"]
    assert of(FASHION_MNIST, "bare")[0] == ["T-shirt/top"]
    assert of(FASHION_MNIST, "photo")[7] == ["a photo of a Sneaker"]
    assert len(of(CIFAR10, "diverse")[0]) == len(prompts.check_style("diverse")) > 4


def test_templates_of_ones_own():
    assert of(CIFAR10, "a sketch of {name}, {name}")[0] == ["a sketch of airplane, airplane"]
    with pytest.raises(ValueError, match=r"expected bare, name, photo, .* or a template"):
        of(CIFAR10, "nmae")


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("lawn_mower", "lawn mower"),
        ('"Yorkshire  terrier"', "Yorkshire terrier"),
        ("potter's wheel", "potter's wheel"),
    ],
)
def test_clean(name, cleaned):
    assert prompts.clean(name) == cleaned
