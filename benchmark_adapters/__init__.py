"""ddbench generates distilled datasets in a limited time, scores them and ranks the results."""

# Before anything else is imported, which may be a stranger's.
from benchmark_adapters import import_path

import_path.restart_if_exposed()

import pluggy  # noqa: E402

hookimpl = pluggy.HookimplMarker("ddbench")

__all__ = ["hookimpl"]
