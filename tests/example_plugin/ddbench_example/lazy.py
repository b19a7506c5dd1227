"""A method that is registered by import path, so that only its own process imports this module."""

from ddbench_example.images import images_of


def options(task, budget):
    """Report the options that the method received."""
    task.ready(seen={key: repr(value) for key, value in task.options.items()})
    yield from images_of(task)
