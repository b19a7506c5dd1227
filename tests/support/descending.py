"""Helpers for tests that minimise a loss over pictures."""

import torch

from gdd_plugin.training.stages.sample_batch import SampleBatch


def batch_of(features, pictures):
    """Return pictures as a batch of samples, half of class 2 and half of class 7."""
    labels = torch.tensor([2, 7]).repeat_interleave(len(pictures) // 2)
    return SampleBatch(None, pictures, labels, *features(pictures))


def descend(pictures, loss, steps):
    """Minimise ``loss()`` over ``pictures`` in place."""
    optimizer = torch.optim.Adam([pictures], 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
