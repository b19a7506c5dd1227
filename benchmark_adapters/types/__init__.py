"""Dataclasses shared by the harness and plugins. Cheap to import: no torch, no numpy.

Where a field takes a callable, an import path ``"package.module:function"`` works too. Only the
process that calls the function then imports the module.
"""

from typing import TYPE_CHECKING

from benchmark_adapters.budget import Budget as Budget
from benchmark_adapters.errors import Notice as Notice
from benchmark_adapters.errors import UserError as UserError
from benchmark_adapters.errors import one_line as one_line
from benchmark_adapters.types.data import Dataset as Dataset
from benchmark_adapters.types.data import DistilledSet as DistilledSet
from benchmark_adapters.types.data import Format as Format
from benchmark_adapters.types.data import Normalisation as Normalisation
from benchmark_adapters.types.data import Split as Split
from benchmark_adapters.types.data import resolve as resolve
from benchmark_adapters.types.methods import Method as Method
from benchmark_adapters.types.methods import Option as Option
from benchmark_adapters.types.methods import Replacement as Replacement
from benchmark_adapters.types.methods import Task as Task
from benchmark_adapters.types.tracks import Recipe as Recipe
from benchmark_adapters.types.tracks import Student as Student
from benchmark_adapters.types.tracks import Track as Track

if TYPE_CHECKING:
    from benchmark_adapters.types.data import Array as Array
    from benchmark_adapters.types.data import ArrayLike as ArrayLike
    from benchmark_adapters.types.data import Batch as Batch
