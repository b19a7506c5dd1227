"""The process that reads a stranger's set, checks it, and trains students on it (`benchmark_adapters.custody`)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmark_adapters import custody, datasets, devices, harness, host, plan
from benchmark_adapters.formats import native
from benchmark_adapters.inspection import Finding, inspect
from benchmark_adapters.supervisor import Outcome
from benchmark_adapters.types import Dataset, DistilledSet, Format, UserError


def work(asked: dict[str, Any]) -> dict[str, Any]:
    """What `benchmark_adapters.submissions` asks for."""
    return {"check": _check, "rewrite": _rewrite, "score": _score}[asked["what"]](asked, host.build())


def _check(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    dataset: Dataset = parts.get("datasets", asked["dataset"])
    distilled = _read(asked, parts)
    findings = examine(distilled, dataset, _path(asked["data"]), bundled=False, device="cpu")
    size = {"images": len(distilled.labels), "ipc": distilled.ipc, "pixels": str(distilled.images.dtype)}
    return {"findings": [asdict(finding) for finding in findings], **size}


def _rewrite(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    """Writes the set in another format: what was read holds nothing that could be executed."""
    dataset: Dataset = parts.get("datasets", asked["dataset"])
    parts.get("formats", asked["to"]).write({dataset.name: (dataset, _read(asked, parts))}, Path(asked["output"]))
    return {}


def _score(asked: dict[str, Any], parts: host.Host) -> dict[str, Any]:
    """Writes a record, whatever the set is like."""
    (todo,) = plan.entry(plan.Request(**{**asked["request"], "data": _path(asked["request"]["data"]), "runs": Path(asked["request"]["runs"])}), parts)
    origin = asked["origin"]
    todo = replace(todo, limit_enforced=origin["limit_enforced"], options=origin["options"], given=tuple(origin["given"]), seed=origin["seed"] or todo.seed)
    folder = harness.complete(todo, lambda folder: _outcome(asked, parts, todo, folder))
    return {"run": str(folder)}


def _outcome(asked: dict[str, Any], parts: host.Host, todo: plan.Plan, folder: Path) -> Outcome:
    """What is read, as if a method had made it."""
    origin = asked["origin"]
    known = {key: origin[key] for key in ("load", "last", "sampled", "used_real_data")}
    (folder / "log.txt").write_text(f"read from {Path(asked['path']).name}\n", encoding="utf-8")
    try:
        distilled = _read(asked, parts)
    except UserError as error:
        return Outcome(end="invalid", message=str(error).replace(f"{Path(asked['path']).parent}/", ""), parts=[[]], facts=origin["facts"], **known)
    findings = examine(distilled, todo.dataset, todo.data, todo.track.bundled_data, devices.resolve(todo.device), probed=not origin["is_run"])
    facts = {**origin["facts"], "checks": [f"{finding.level}: {finding.text}" for finding in findings]}
    errors = [finding.text for finding in findings if finding.level == "error"]
    native.write_images(distilled, folder / native.IMAGES)
    end = "invalid" if errors else "done"
    return Outcome(end=end, message="; ".join(errors), facts=facts, distilled=distilled, **known)  # type: ignore[arg-type]


def _read(asked: dict[str, Any], parts: host.Host) -> DistilledSet:
    form: Format = parts.get("formats", asked["format"])
    return form.read(Path(asked["path"]), parts.get("datasets", asked["dataset"]))


def examine(distilled: DistilledSet, dataset: Dataset, data: Path | None, bundled: bool, device: str, probed: bool = True) -> list[Finding]:
    """All checks; the class-order probe only where real training images are here and nothing else is wrong."""
    findings = inspect(distilled, dataset)
    if not probed or any(finding.level == "error" for finding in findings):
        return findings
    try:
        real = _training_images(dataset, data, bundled)
    except UserError as error:
        return [*findings, Finding("note", f"class order not checked: {error}")]
    from benchmark_adapters import class_order  # imports torch

    return [*findings, class_order.probe(distilled, dataset, class_order.classifier(dataset, real, device))]


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
