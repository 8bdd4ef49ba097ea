"""Run the tutorials and write their outputs and images back into the pages.

    python docs/tutorials.py            # all pages
    python docs/tutorials.py fit-a-grid

A tutorial is a Markdown page. Its ```bash and ```python blocks run in order in an empty folder,
beside `launch/`. What a block prints, and the value of a last expression, follows the block as a
```text block. An image that a block saves as NAME.png is shown by the page as
`../images/tutorials/NAME.png`.
"""

import ast
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = DOCS / "tutorials"
IMAGES = DOCS / "images" / "tutorials"
CELL = re.compile(r"^```(bash|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)


def cells(page):
    """Return (language, source, kept output) of each block of a page's text that runs."""
    return [(kind, source, kept or "") for kind, source, kept in CELL.findall(page)]


def outputs(page, folder):
    """Run the blocks of a page in a folder; return what each of them printed."""
    (folder / "launch").symlink_to(DOCS.parent / "launch")
    namespace = {"__name__": "tutorial"}
    with contextlib.chdir(folder):
        return [
            _shell(source) if kind == "bash" else _python(source, namespace)
            for kind, source, _ in cells(page)
        ]


def written(page, printed):
    """Return the text of a page with these outputs in place of the kept ones."""
    remaining = iter(printed)

    def cell(match):
        output = next(remaining)
        block = f"```{match[1]}\n{match[2]}```\n"
        return block + (f"\n```text\n{output}```\n" if output else "")

    return CELL.sub(cell, page)


def _shell(source):
    folders = (str(Path(sys.executable).parent), os.environ["PATH"])  # its `python` is this one
    own = {"PATH": os.pathsep.join(folders), "PYTHONPATH": str(DOCS.parent), "COLUMNS": "100"}
    run = subprocess.run(
        ["bash", "-euc", source],
        env=os.environ | own,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return run.stdout


def _python(source, namespace):
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(body, []), "<tutorial>", "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<tutorial>", "eval"), namespace)
    return printed.getvalue() + ("" if value is None else f"{value}\n")


def main(names):
    """Run the pages of these names, all without any, and rewrite them."""
    import matplotlib

    matplotlib.use("agg")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for path in [PAGES / f"{name}.md" for name in names] or sorted(PAGES.glob("*.md")):
        page = path.read_text()
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(written(page, outputs(page, Path(folder))))
            for image in Path(folder).glob("*.png"):
                if f"images/tutorials/{image.name}" in page:
                    shutil.copy(image, IMAGES)


if __name__ == "__main__":
    main(sys.argv[1:])
