"""Class names to prompts: cleaned, disambiguated, put into templates."""

import re
from collections.abc import Sequence

TEMPLATES: dict[str, tuple[str, ...]] = {
    "name": ("{name}",),
    "photo": ("a photo of a {name}",),
    "centered": ("a photo of a single {name}, centered, plain background",),
    "diverse": (
        "a photo of a {name}",
        "a close-up photo of a {name}",
        "a photo of a {name} from far away",
        "a bright photo of a {name}",
        "a dark photo of a {name}",
        "a photo of a {name} from the side",
        "a blurry photo of a {name}",
        "a photo of one {name} among others",
    ),
}

VOWELS = "aeiou"

# What a class means where its bare name says something else to a text-to-image model. CIFAR-100's
# meanings follow its superclasses, Tiny-ImageNet's the glosses of its WordNet ids.
SENSES: dict[str, dict[str, str]] = {
    "fashion-mnist": {"T-shirt/top": "T-shirt"},
    "cifar100": {
        "can": "tin can",
        "cattle": "cow",
        "cup": "drinking cup",
        "keyboard": "computer keyboard",
        "mouse": "mouse animal",
        "orange": "orange fruit",
        "plain": "grassland plain",
        "plate": "dinner plate",
        "poppy": "poppy flower",
        "ray": "ray fish",
        "rose": "rose flower",
        "seal": "seal animal",
        "shrew": "shrew animal",
        "tank": "army tank",
    },
    "tiny-imagenet": {
        "alp": "alpine mountain",
        "beach wagon": "station wagon",
        "beacon": "lighthouse",
        "bighorn": "bighorn sheep",
        "black widow": "black widow spider",
        "brass": "memorial brass plaque",
        "chain": "metal chain",
        "chest": "wooden chest",
        "confectionery": "candy store",
        "convertible": "convertible car",
        "crane": "construction crane",
        "drumstick": "drum stick",
        "espresso": "cup of espresso",
        "fly": "fly insect",
        "gondola": "gondola boat",
        "ice lolly": "popsicle",
        "jinrikisha": "rickshaw",
        "lesser panda": "red panda",
        "mantis": "praying mantis",
        "monarch": "monarch butterfly",
        "nail": "metal nail",
        "orange": "orange fruit",
        "organ": "pipe organ",
        "plate": "plate of food",
        "plunger": "toilet plunger",
        "projectile": "missile",
        "reel": "fishing reel",
        "tabby": "tabby cat",
        "teddy": "teddy bear",
        "thatch": "thatched roof",
        "torch": "burning torch",
        "walking stick": "walking stick insect",
    },
}


def clean(name: str) -> str:
    """``name`` without underscores, quotes and doubled spaces."""
    return " ".join(name.replace("_", " ").replace('"', " ").split())


def check_style(style: str) -> tuple[str, ...]:
    """The templates of ``style``; none for ``bare``.

    Raises:
        ValueError: the style is neither known nor a template.
    """
    if style == "bare":
        return ()
    if style in TEMPLATES:
        return TEMPLATES[style]
    if "{name}" in style:
        return (style,)
    raise ValueError(
        f"expected {', '.join(['bare', *TEMPLATES])}, or a template with {{name}} in it"
    )


def class_prompts(
    names: Sequence[str], dataset: str, style: str = "name", synonyms: Sequence[Sequence[str]] = ()
) -> list[list[str]]:
    """The prompts of every class, in the order of ``names``.

    ``style`` is a key of `TEMPLATES`; a template of one's own that holds ``{name}``; or ``bare``, the
    published method's prompt: the class name as the dataset gives it, synonyms after commas.

    Raises:
        ValueError: the style is neither known nor a template.
    """
    if style == "bare":
        return [
            [", ".join(map(clean, words))] for words in (synonyms or [[name] for name in names])
        ]
    templates = check_style(style)
    senses = SENSES.get(dataset, {})
    return [
        [_filled(template, senses.get(name, clean(name))) for template in templates]
        for name in names
    ]


def _filled(template: str, name: str) -> str:
    """``name`` in ``template``, an article before it made to fit."""
    if name[:1].lower() in VOWELS:
        template = re.sub(r"\b([Aa]) \{name\}", r"\1n {name}", template)
    return template.replace("{name}", name)
