"""Records to statistics, ranks and comparisons."""
