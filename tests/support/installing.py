"""Install distributions without pip."""


def install(folder, module, code, name=None):
    """Write a distribution with one module, which is its plugin, into ``folder``.

    ``name`` is the name of the distribution, by default the name of the module.
    """
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name or module}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[ddbench]\n{module} = {module}\n")
