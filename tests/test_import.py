"""What `import mmtaformer` brings along, and what it prints."""

import ast
import subprocess
import sys

from .helpers.golden import REPO_ROOT

PROGRAM = """
import sys, mmtaformer
for name, module in sorted(sys.modules.items()):
    if name == "av" or name.startswith("mmtaformer"):
        print(name, getattr(module, "__file__", None))
"""
# mmdet itself imports matplotlib and scipy; nothing of ours may need them at once.
HEAVY = {"av", "matplotlib", "scipy", "pandas", "supervision"}
DRAWING = {"ImageDraw", "ImageFont"}


def test_import_is_quiet_and_brings_no_drawing_or_video_library():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=REPO_ROOT
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    modules = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert "mmtaformer.models" in modules
    assert "av" not in modules
    for name, path in modules.items():
        imported = set(imports_at_once(path))
        assert not imported & (HEAVY | DRAWING), f"{name} imports {imported}"


def imports_at_once(path):
    """Top packages, and names of PIL, that a file imports when it is imported."""
    with open(path) as file:
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
            if node.module == "PIL":
                yield from (alias.name for alias in node.names)


def test_what_else_is_printed_while_mmdet_is_imported_is_kept(capsys):
    import warnings

    from mmtaformer.utils.quiet_import import quiet_import

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_import():
            print("Could not import OneDL. Skipping OneDL datasets.")
            print("Something else")
            warnings.warn("faster_coco_eval is not installed, so", stacklevel=1)
            warnings.warn("Look out", stacklevel=1)
    assert capsys.readouterr().out == "Something else\n"
    assert [str(warning.message) for warning in caught] == ["Look out"]
