"""Distributions without pip."""


def install(folder, name, text):
    """A distribution with one module, as an installer leaves it."""
    (folder / f"{name}.py").write_text(text)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ddbench]\n{name} = {name}\n")
