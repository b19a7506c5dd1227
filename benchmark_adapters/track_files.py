"""Tracks from a TOML file, which need no installed package."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
import typing
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta

from benchmark_adapters import own_data
from benchmark_adapters.own_data import reference as references
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, Track, UserError, one_line

SUFFIX = ".toml"
DAY = 86_400.0
MAX_BYTES, MAX_DEVICES = 2**20, 1024

Ipc = Annotated[int, Meta(ge=1, le=1_000_000)]
T = TypeVar("T")


# What each key may hold, in words.
EXPECTED = {
    "name": "a text of up to 80 letters, digits, '.', '_' and '-'",
    "datasets": 'a list of names or folders, for example ["./pets"]',
    "time_limit": "seconds, more than 0 and at most 86400",
    "recipe": "a text",
    "repeats": "a number from 1 to 1000",
    "ipc": "a list of numbers from 1, for example [10]; empty: any",
    "default_ipc": 'a number from 1, or "max"',
    "student": "a text",
    "real_data": "true or false",
    "bundled_data": "true or false",
    "devices": f"a number from 1 to {MAX_DEVICES}",
    "summary": "a text",
}


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a track file; those without a default are required.

    Attributes:
        datasets: names of installed datasets, or references to folders. Relative paths start at
            the folder of the file.
        ipc: the allowed images per class; empty: any number.
        default_ipc: images per class of a run by default. Without it, the first of ``ipc``, or as
            many as the time limit allows.
        student: the student to train instead of the recipe's.

    The other keys are those of `Track`.
    """

    name: Annotated[str, Meta(pattern=r"\A\w[\w.-]{0,79}\Z")]
    datasets: Annotated[list[str], Meta(min_length=1)]
    time_limit: Annotated[float, Meta(gt=0, le=DAY)]
    recipe: str
    repeats: Annotated[int, Meta(ge=1, le=1000)]
    ipc: list[Ipc] = []
    default_ipc: Ipc | Literal["max"] | None = None
    student: str = ""
    real_data: bool = True
    bundled_data: bool = False
    devices: Annotated[int, Meta(ge=1, le=MAX_DEVICES)] = 1
    summary: str = ""


def find(plugins: Plugins, name: str) -> Track:
    """Return an installed track by its name, or the track in a file ``NAME.toml``.

    Raises:
        UserError: there is no such track, or the file is wrong; the message names key and line.
    """
    if not name.endswith(SUFFIX):
        try:
            return plugins.tracks.require(name)
        except UserError as error:
            raise UserError(f"{error}; or name a file of your own: --track FILE{SUFFIX}") from None
    return _File(Path(name).expanduser(), plugins).track()


def find_dataset(plugins: Plugins, track: Track | None, name: str) -> Dataset:
    """Return a dataset of a track by its name, or any other that ``name`` names.

    A folder that is not one of the track's datasets never gets the name of one of them.

    Raises:
        UserError: there is no such dataset, or its pictures can't be used.
    """
    if track is None:
        return own_data.find(plugins, name)
    sources = dict(track.sources)
    if name in sources:
        return own_data.find(plugins, sources[name])
    is_foreign = own_data.is_reference(name) and str(references.parse(name)) not in sources.values()
    return own_data.find(plugins, name, taken=track.datasets if is_foreign else ())


def name_of(plugins: Plugins, track: str, recorded: Collection[str]) -> str:
    """Return the name of a track: an installed one, one with records, or that in a file.

    Raises:
        UserError: there is no such track, or the file is wrong.
    """
    if track.endswith(SUFFIX):
        return _File(Path(track).expanduser(), plugins).keys().name
    return track if track in recorded else find(plugins, track).name


class _File:
    """A track file that is being read."""

    def __init__(self, path: Path, plugins: Plugins) -> None:
        self.path, self.plugins = path, plugins
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path} has more than {MAX_BYTES} bytes")
            self.text = path.read_text("utf-8-sig")
            self.values = tomllib.loads(self.text)
        except OSError as error:
            raise UserError(f"track file {path}: {error.strerror or error}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise UserError(f"track file {path}: {one_line(error)}") from None

    def _line(self, key: str) -> str:
        """Return the line of a key, as a part of a message; empty if it can't be told."""
        pattern = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
        is_text = False
        for number, line in enumerate(self.text.splitlines(), 1):
            if not is_text and pattern.match(line):
                return f", line {number}"
            # A text of several lines may contain anything.
            is_text ^= bool(len(re.findall("\"{3}|'{3}", line)) % 2)
        return ""

    def refuse(self, key: str, problem: object) -> NoReturn:
        """Raise an error that names the key and its line."""
        raise UserError(f"{self.path}{self._line(key)}, key {key}: {one_line(problem)}")

    def attempt(self, key: str, function: Callable[..., T], *arguments: Any) -> T:
        """Return the function's result; an error is about ``key``."""
        try:
            return function(*arguments)
        except UserError as error:
            self.refuse(key, error)

    def keys(self) -> Keys:
        """Check the name and the type of each key."""
        types = typing.get_type_hints(Keys, include_extras=True)
        for key, value in self.values.items():
            if key not in types:
                close = difflib.get_close_matches(key, types, n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                self.refuse(key, f"unknown; {hint}known keys: {', '.join(types)}")
            try:
                msgspec.convert(value, types[key])
            except msgspec.ValidationError:
                self.refuse(key, f"expected {EXPECTED[key]}")
        required = [field.name for field in msgspec.structs.fields(Keys) if field.required]
        if missing := [key for key in required if key not in self.values]:
            raise UserError(f"{self.path}: these keys are missing: {', '.join(missing)}")
        return msgspec.convert(self.values, Keys)

    def track(self) -> Track:
        """Return the track, after checking every value."""
        keys, plugins = self.keys(), self.plugins
        if keys.name in plugins.tracks:
            self.refuse("name", f"{keys.name} is the name of an installed track; choose another")
        recipe = self.attempt("recipe", plugins.recipes.require, keys.recipe)
        student = keys.student and self.attempt("student", plugins.students.require, keys.student)
        sources: dict[str, str] = {}
        for text in keys.datasets:
            dataset, source = self.attempt("datasets", self._source, text, keys.bundled_data)
            if dataset in sources:
                self.refuse("datasets", f"{dataset} is named twice; remove it or rename its folder")
            sources[dataset] = source
        default = keys.default_ipc or (keys.ipc[0] if keys.ipc else "max")
        if keys.ipc and default not in keys.ipc:
            self.refuse("default_ipc", f"{default} is not one of the values of ipc: {keys.ipc}")
        track = Track(
            name=keys.name,
            datasets=tuple(sources),
            time_limit=keys.time_limit,
            ipc=tuple(keys.ipc),
            default_ipc=None if default == "max" else default,
            recipe=recipe.name,
            repeats=keys.repeats,
            bundled_data=keys.bundled_data,
            real_data=keys.real_data,
            devices=keys.devices,
            summary=keys.summary,
            student=student.name if student else "",
            sources=tuple((name, text) for name, text in sources.items() if text != name),
        )
        return replace(track, sha256=_sha256(track))

    def _source(self, text: str, is_bundled: bool) -> tuple[str, str]:
        """Return the name of a dataset, and the text that `own_data.find` understands."""
        base = self.path.absolute().parent
        installed = self.plugins.datasets.get(text)
        if is_bundled and not (installed and installed.bundled):
            raise UserError(f"{text} is not bundled with ddbench; leave out bundled_data")
        if own_data.is_reference(text):
            reference = references.parse(text, base)
            return reference.name(self.plugins.datasets), str(reference)
        if not installed and (base / text).is_dir():
            raise UserError(f"unknown dataset {text!r}; did you mean the folder ./{text}?")
        return self.plugins.datasets.require(text).name, text


def _sha256(track: Track) -> str:
    """Return the hash of the rules. It depends neither on the summary nor on where folders are."""
    settings = {name: text.partition("?")[2] for name, text in track.sources}
    rules = {
        "datasets": [(name, settings.get(name, "")) for name in track.datasets],
        **{
            key: getattr(track, key)
            for key in (
                "name",
                "time_limit",
                "ipc",
                "default_ipc",
                "recipe",
                "repeats",
                "bundled_data",
                "real_data",
                "student",
            )
        },
    }
    # A key that came later must not change the hashes of files without it.
    if track.devices > 1:
        rules["devices"] = track.devices
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
