"""Training steps at a CPU's full speed. Everything works without this folder, only slower."""
