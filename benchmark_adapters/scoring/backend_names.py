"""Names of training backends. Cheap to import: no torch."""

from typing import Literal

# What a user asks for:
#   auto       the fastest way that pays for the length of the training
#   reference  the evaluators' plain loop: whole batches, eager
#   fast       torch.compile, whatever the length of the training
Backend = Literal["auto", "reference", "fast"]

# What computes the gradients:
#   plain     whole batches, eager
#   fused     microbatches that stay in a CPU's caches, eager
#   compiled  torch.compile
#   winograd  torch.compile with Winograd convolutions, on a CPU
BackendName = Literal["plain", "fused", "compiled", "winograd"]
