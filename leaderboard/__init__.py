"""Records of runs, and their tables and pages. Imports neither torch nor the other packages."""
