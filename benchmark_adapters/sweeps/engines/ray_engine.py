"""The engine for clusters: Ray."""

from typing import Any


class Ray:
    """Stub."""

    environment: dict[str, Any]
    submit: Any
    wait: Any
    at_work: Any
    close: Any

    def __init__(self, *arguments: Any) -> None:
        raise NotImplementedError
