"""Names of training backends. Cheap to import: no torch."""

from typing import Literal

# Backends that a user can request:
#   auto       the fastest backend, compiled only if training is long enough for that to pay off
#   reference  the evaluators' plain loop: whole batches, eager
#   fast       torch.compile, however short the training
Backend = Literal["auto", "reference", "fast"]

# Backends that compute the gradients:
#   plain     whole batches, eager
#   fused     microbatches that stay in a CPU's caches, eager
#   compiled  torch.compile
#   winograd  torch.compile with Winograd convolutions, on a CPU
BackendName = Literal["plain", "fused", "compiled", "winograd"]
