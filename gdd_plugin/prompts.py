"""Turn class names into prompts with the templates and senses in ``class_prompts.toml``."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

# The prompt style of the published method.
BARE = "bare"
# The default style.
NAME = "name"
VOWELS = "aeiou"
# The part of a template about the kind of a class.
KIND = ", a kind of {kind}"


@dataclass(frozen=True)
class ClassPrompts:
    """The contents of ``class_prompts.toml``.

    Attributes:
        templates: prompt templates by style.
        senses: by dataset and class name, replacements for class names that mean something else to
            a text-to-image model.
        kinds: by dataset and class name, the kind of thing that the name means.
    """

    templates: Mapping[str, tuple[str, ...]]
    senses: Mapping[str, Mapping[str, str]]
    kinds: Mapping[str, Mapping[str, str]]


@functools.cache
def class_prompts_data() -> ClassPrompts:
    """Read ``class_prompts.toml`` on first use, since most commands need no prompts."""
    text = resources.files("gdd_plugin").joinpath("class_prompts.toml").read_text("utf-8")
    data = tomllib.loads(text)
    templates = {style: tuple(texts) for style, texts in data["templates"].items()}
    kinds = {
        dataset: {name: kind for kind, names in by_kind.items() for name in names}
        for dataset, by_kind in data["kinds"].items()
    }
    return ClassPrompts(templates, data["senses"], kinds)


def styles() -> list[str]:
    """Return the names of the styles that have templates."""
    return list(class_prompts_data().templates)


def check_style(style: str) -> tuple[str, ...]:
    """Return the templates of ``style``, which are empty for ``bare``.

    Raises:
        ValueError: ``style`` is neither a known style nor a template that contains ``{name}``.
    """
    if style == BARE:
        return ()
    if style in styles():
        return class_prompts_data().templates[style]
    if "{name}" in style:
        return (style,)
    raise ValueError(
        f"expected {', '.join([BARE, *styles()])}, or a template that contains {{name}}"
    )


def class_prompts(
    names: Sequence[str],
    dataset: str,
    style: str = NAME,
    synonyms: Sequence[Sequence[str]] = (),
    prompts: Sequence[str] = (),
) -> list[list[str]]:
    """Return the prompts of every class, in the order of ``names``.

    Args:
        names: class names, as defined by the dataset.
        dataset: name of the dataset, which determines the senses of the class names.
        style: one of `styles`, a template that contains ``{name}`` and perhaps ``{kind}``, or
            ``bare``. ``bare`` is the published method's prompt: the class name and its synonyms,
            separated by commas.
        synonyms: names of each class, starting with the class name; empty: there are no synonyms.
        prompts: the dataset's own prompt of each class, which replaces those of the default style;
            empty: there are none.

    Raises:
        ValueError: ``style`` is neither a known style nor a template that contains ``{name}``.
    """
    if style == BARE:
        synonyms = synonyms or [[name] for name in names]
        return [[", ".join(map(clean, words))] for words in synonyms]
    if prompts and style == NAME:
        return [[prompt] for prompt in prompts]
    templates = check_style(style)
    senses = class_prompts_data().senses.get(dataset, {})
    kinds = class_prompts_data().kinds.get(dataset, {})
    return [
        [
            _fill(template, senses.get(name, clean(name)), kinds.get(name, ""))
            for template in templates
        ]
        for name in names
    ]


def clean(name: str) -> str:
    """Replace underscores and quotes in ``name`` with spaces, and collapse repeated spaces."""
    return " ".join(name.replace("_", " ").replace('"', " ").split())


def _fill(template: str, name: str, kind: str) -> str:
    """Insert ``name`` into ``template``, and change "a" before it to "an" where necessary.

    Without a kind, the part of the template about it is left out.
    """
    template = (template if kind else template.replace(KIND, "")).replace("{kind}", kind or "thing")
    if name[:1].lower() in VOWELS:
        template = re.sub(r"\b([Aa]) \{name\}", r"\1n {name}", template)
    return template.replace("{name}", name)
