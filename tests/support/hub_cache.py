"""Helpers for the cache of the Hugging Face Hub."""

import shutil

from gdd_plugin.models import loading


def put_into_cache(cache, repository, source):
    """Store a model in the cache like `hf download`: blobs by hash, a snapshot of links, a ref."""
    repo = cache / f"models--{repository.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("a" * 40)
    for file in (path for path in source.rglob("*") if path.is_file()):
        blob = repo / "blobs" / loading.file_sha256(file)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
