"""Names that docstrings mention exist: in examples, and between backticks."""

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("jaxfleet", "jaxinr", "jaxsr", "experiments", "launch")
_CODE = re.compile(r"(?:^|\n\n)((?:    .*\n?)+)")  # indented blocks of a docstring
_CHAIN = re.compile(r"`+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)[`(]")
# Names of files, and of entries in the metadata of ours.
_FILE = re.compile(
    r"\.(json|md|parquet|html|txt|npz|safetensors|flags)$|^jaxsr\.(attributor|gallery)$"
)


def sources():
    return sorted(
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "data" not in path.parts
    )


def docstrings(tree):
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]


def chains(text):
    """Dotted names of a docstring: `a.b.c`, and those of its examples."""
    found = set(_CHAIN.findall(text))
    for block in _CODE.findall(text):
        try:
            tree = ast.parse(textwrap.dedent(block))
        except SyntaxError:  # a shell command, a table, ...
            continue
        nodes = list(ast.walk(tree))
        own = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        texts = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        found |= {one for one in texts if one.partition(".")[0] not in own}
    return {one for one in found if re.fullmatch(r"[\w.]+", one) and not _FILE.search(one)}


def resolves(chain, module):
    """Whether a dotted name exists; True of one that does not begin in this project."""
    root, *names = chain.split(".")
    if root in PACKAGES:
        value = importlib.import_module(root)
    elif hasattr(module, root):
        value = getattr(module, root)
    elif module.__name__.rpartition(".")[2] == root:
        value = module
    else:
        return True
    if getattr(value, "__name__", "").partition(".")[0] not in PACKAGES:
        return True
    for name in names:
        if hasattr(value, name):
            value = getattr(value, name)
        elif name in getattr(value, "__annotations__", {}):
            return True
        else:
            try:
                value = importlib.import_module(f"{value.__name__}.{name}")
            except (AttributeError, ImportError):
                return False
    return True


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_docstrings_exist(path):
    texts = docstrings(ast.parse(path.read_text()))
    found = {chain for text in texts for chain in chains(text)}
    if not found:
        return
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error))
    assert [chain for chain in sorted(found) if not resolves(chain, module)] == []
