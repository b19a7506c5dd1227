"""What a method reports about itself, for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from benchmark_adapters.execution import facts

# Bounds of all that a method reports together: bytes of metadata, and warnings.
MAX_METADATA, MAX_WARNINGS = 4 * 2**20, 20
# Numbers and texts that a stranger's process may send.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
LEFT_OUT = "the method reported a value of"


class Report(msgspec.Struct, frozen=True):
    """Values that a method reports with ``task.ready`` and ``task.report``.

    The named values have their own fields in the record. ``metadata`` holds all others.

    Attributes:
        sampled: number of images that the method sampled, if it does not yield them all.
        sampling_seconds: time that it took to sample them.
        warnings: what the method warns of with ``warning=TEXT``, and what it reported in vain.
    """

    device: Text | None = None
    gpu: Text | None = None
    gpus: Count | None = None
    model: Text | None = None
    model_sha256: Text | None = None
    model_trained_on: Text | None = None
    model_licence: Text | None = None
    batch: Count | None = None
    threads: Count | None = None
    prompts_encoded: Count | None = None
    prompts_seconds: Duration | None = None
    sampled: Count | None = None
    sampling_seconds: Duration | None = None
    metadata: dict[str, Any] = {}
    warnings: list[str] = []

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Report:
        """Return the report of a ``task.ready(...)`` or ``task.report(...)`` call.

        A value that a record can't hold is left out, with a warning.
        """
        named: dict[str, Any] = {}
        others: dict[str, Any] = {}
        warnings: list[str] = []
        for name, value in values.items():
            try:
                fact = facts.plain(value)
                if name == "warning":
                    warnings.append(str(fact))
                elif name in _NAMED:
                    msgspec.convert({name: fact}, cls)
                    named[name] = fact
                else:
                    others[name] = fact
            except facts.NotPlain as error:
                warnings.append(f"{LEFT_OUT} {name!r} that is left out: {error}")
            except msgspec.ValidationError:
                warnings.append(f"{LEFT_OUT} {name!r} that is left out: {value!r:.80}")
        found = msgspec.convert({**named, "metadata": others, "warnings": warnings}, cls)
        return cls().merged(found)

    def merged(self, later: Report) -> Report:
        """Return this report, updated with the values of a ``later`` one.

        Metadata that would exceed `MAX_METADATA` bytes is left out, with a warning.
        """
        changes = {name: getattr(later, name) for name in _NAMED}
        known = {name: value for name, value in changes.items() if value is not None}
        # A method must not make itself look smaller than what the harness saw.
        if self.gpus and later.gpus:
            known["gpus"] = max(self.gpus, later.gpus)
        metadata = {**self.metadata, **later.metadata}
        warnings = [*self.warnings, *later.warnings]
        if len(msgspec.json.encode(metadata)) > MAX_METADATA:
            metadata = self.metadata
            warnings.append(f"{LEFT_OUT} more than {MAX_METADATA / 2**20:g} MiB, which is left out")
        return msgspec.structs.replace(
            self,
            **known,
            metadata=metadata,
            # A method may report the same in every step.
            warnings=list(dict.fromkeys(warnings))[:MAX_WARNINGS],
        )


_NAMED = frozenset(field.name for field in msgspec.structs.fields(Report)) - {
    "metadata",
    "warnings",
}
