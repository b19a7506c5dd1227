"""The process that reads a stranger's set, checks it, and trains students on it (`benchmark_adapters.execution.sandbox`)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from benchmark_adapters import datasets
from benchmark_adapters import plugins as host
from benchmark_adapters.checks.content import Finding, inspect
from benchmark_adapters.execution import devices
from benchmark_adapters.execution import sandbox as custody
from benchmark_adapters.execution.supervisor import Outcome
from benchmark_adapters.formats import native
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs import request as plan
from benchmark_adapters.types import Dataset, DistilledSet, Format, UserError, one_line


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """What `benchmark_adapters.runs.submissions` asks for."""
    return {"check": _check, "rewrite": _rewrite, "score": _score}[asked["what"]](
        asked, host.build()
    )


def _check(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    dataset: Dataset = parts.get("datasets", asked["dataset"])
    distilled = _read(asked, parts)
    findings = examine(distilled, dataset, _path(asked["data"]), bundled=False, device="cpu")
    size = {
        "images": len(distilled.labels),
        "ipc": distilled.ipc,
        "pixels": str(distilled.images.dtype),
    }
    return {"findings": [asdict(finding) for finding in findings], **size}


def _rewrite(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    """Writes the set in another format: what was read holds nothing that could be executed."""
    dataset: Dataset = parts.get("datasets", asked["dataset"])
    parts.get("formats", asked["to"]).write(
        {dataset.name: (dataset, _read(asked, parts))}, Path(asked["output"])
    )
    return {}


def _score(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    """Writes a record, whatever the set is like."""
    (todo,) = plan.entry(
        plan.Request(
            **{
                **asked["request"],
                "data": _path(asked["request"]["data"]),
                "runs": Path(asked["request"]["runs"]),
            }
        ),
        parts,
    )
    todo = as_made(todo, asked["origin"])
    folder = harness.complete(todo, lambda folder: _outcome(asked, parts, todo, folder))
    return {"run": str(folder)}


def as_made(todo: plan.Plan, origin: dict[str, Any]) -> plan.Plan:
    """The plan with what is known of the making of the set."""
    known = origin["plan"]
    return replace(
        todo,
        **{
            **known,
            **{name: tuple(known[name]) for name in ("given", "inherited") if name in known},
        },
    )


def without_images(
    origin: dict[str, Any], end: Literal["invalid", "error"], message: str
) -> Outcome:
    """Of a set that could not be read."""
    return Outcome(end=end, message=message, parts=[[]], facts=origin["facts"], **origin["outcome"])


def _outcome(asked: dict[str, Any], parts: host.Host, todo: plan.Plan, folder: Path) -> Outcome:
    """What is read, as if a method had made it."""
    origin = asked["origin"]
    (folder / "log.txt").write_text(
        f"read from {Path(asked['path']).name}\n", encoding="utf-8", errors="replace"
    )
    try:
        distilled = _read(asked, parts)
    except UserError as error:
        return without_images(
            origin, "invalid", str(error).replace(f"{Path(asked['path']).parent}/", "")
        )
    findings = examine(
        distilled,
        todo.dataset,
        todo.data,
        todo.track.bundled_data,
        devices.resolve(todo.device),
        probed=not todo.limit_enforced,
    )
    facts = {
        **origin["facts"],
        "checks": [one_line(f"{finding.level}: {finding.text}") for finding in findings],
    }
    errors = [
        finding.text for finding in findings if finding.level == "error" and not todo.limit_enforced
    ]  # a method may make what it likes
    native.write_images(distilled, folder / native.IMAGES)
    end: Literal["invalid", "limit", "done"] = (
        "invalid" if errors else "limit" if origin["late"] else "done"
    )
    return Outcome(
        end=end, message="; ".join(errors), facts=facts, distilled=distilled, **origin["outcome"]
    )


def _read(asked: dict[str, Any], parts: host.Host) -> DistilledSet:
    form: Format = parts.get("formats", asked["format"])
    return form.read(Path(asked["path"]), parts.get("datasets", asked["dataset"]))


def examine(
    distilled: DistilledSet,
    dataset: Dataset,
    data: Path | None,
    bundled: bool,
    device: str,
    probed: bool = True,
) -> list[Finding]:
    """All checks; the class-order probe only where real training images are here and nothing else is wrong."""
    findings = inspect(distilled, dataset)
    if not probed or any(finding.level == "error" for finding in findings):
        return findings
    try:
        real = _training_images(dataset, data, bundled)
    except UserError as error:
        return [*findings, Finding("note", "class-order", f"class order not checked: {error}")]
    from benchmark_adapters.checks import class_order  # imports torch

    return [
        *findings,
        class_order.probe(distilled, dataset, class_order.classifier(dataset, real, device)),
    ]


def _training_images(dataset: Dataset, data: Path | None, bundled: bool) -> Any:
    """Those of the track, or else those that are bundled."""
    try:
        return datasets.load(dataset, "train", data, bundled)
    except UserError:
        if dataset.bundled is None:
            raise
        return datasets.load(dataset, "train", bundled=True)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


if __name__ == "__main__":
    custody.serve(work)
