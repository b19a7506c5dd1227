"""Prompts from class names, by the templates and senses of ``class_prompts.toml``."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

BARE = "bare"  # the published method's style
VOWELS = "aeiou"


@dataclass(frozen=True)
class ClassPrompts:
    """The contents of ``class_prompts.toml``.

    Attributes:
        templates: by style.
        senses: by dataset and class name, what the class means where its bare name says something
            else to a text-to-image model.
    """

    templates: Mapping[str, tuple[str, ...]]
    senses: Mapping[str, Mapping[str, str]]


@functools.cache
def class_prompts_data() -> ClassPrompts:
    """Read ``class_prompts.toml``. Commands that need no prompts are spared this."""
    text = resources.files("gdd_plugin").joinpath("class_prompts.toml").read_text("utf-8")
    data = tomllib.loads(text)
    templates = {style: tuple(texts) for style, texts in data["templates"].items()}
    return ClassPrompts(templates, data["senses"])


def styles() -> list[str]:
    """Return the styles that have templates."""
    return list(class_prompts_data().templates)


def check_style(style: str) -> tuple[str, ...]:
    """Return the templates of ``style``; none for ``bare``.

    Raises:
        ValueError: the style is neither known nor a template.
    """
    if style == BARE:
        return ()
    if style in styles():
        return class_prompts_data().templates[style]
    if "{name}" in style:
        return (style,)
    raise ValueError(f"expected {', '.join([BARE, *styles()])}, or a template with {{name}} in it")


def class_prompts(
    names: Sequence[str], dataset: str, style: str = "name", synonyms: Sequence[Sequence[str]] = ()
) -> list[list[str]]:
    """Return the prompts of every class, in the order of ``names``.

    Args:
        names: class names as the dataset gives them.
        dataset: its name, which decides what the class names mean.
        style: a name of `styles`; a template with ``{name}`` in it; or ``bare``, the published
            method's prompt: the class name as it is, with synonyms after commas.
        synonyms: of each class, the class name first.

    Raises:
        ValueError: the style is neither known nor a template.
    """
    if style == BARE:
        synonyms = synonyms or [[name] for name in names]
        return [[", ".join(map(clean, words))] for words in synonyms]
    templates = check_style(style)
    senses = class_prompts_data().senses.get(dataset, {})
    return [
        [_fill(template, senses.get(name, clean(name))) for template in templates] for name in names
    ]


def clean(name: str) -> str:
    """Remove underscores, quotes and doubled spaces from ``name``."""
    return " ".join(name.replace("_", " ").replace('"', " ").split())


def _fill(template: str, name: str) -> str:
    """Put ``name`` into ``template``, and adapt an article before it."""
    if name[:1].lower() in VOWELS:
        template = re.sub(r"\b([Aa]) \{name\}", r"\1n {name}", template)
    return template.replace("{name}", name)
