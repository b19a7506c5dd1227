"""ddbench generates distilled datasets in a limited time, scores them and ranks the results."""

import pluggy

hookimpl = pluggy.HookimplMarker("ddbench")

__all__ = ["hookimpl"]
