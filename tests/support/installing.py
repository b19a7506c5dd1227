"""Install distributions without pip."""

# A plugin with a method called NAME, which has its name as summary.
METHOD = """
from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method

@hookimpl
def ddbench_methods():
    return [Method("NAME", "NAME:distill", summary="NAME")]
"""


def install(folder, module, code, name=None, group="ddbench", target=""):
    """Write a distribution with one module, which is its plugin, into ``folder``.

    ``name`` is the name of the distribution, by default the name of the module. ``group`` is that
    of the entry point, and ``target`` the attribute of the module that it names, such as ``:main``.
    """
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name or module}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[{group}]\n{module} = {module}{target}\n")


def install_method(folder, name, first=""):
    """Install a plugin with a method called ``name``; its import begins with the code ``first``."""
    install(folder, name, f"{first}\n{METHOD.replace('NAME', name)}")
