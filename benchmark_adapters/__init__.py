"""ddbench: makes distilled sets under a time limit, trains fixed students on them, and keeps the score."""

import pluggy

hookimpl = pluggy.HookimplMarker("ddbench")

__all__ = ["hookimpl"]
