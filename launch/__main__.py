"""The command `jaxfleet`: runs a script of this folder by its name, from any folder.

    jaxfleet siren_grid --flagfile=quickstart.flags

does what `python launch/siren_grid.py` does in a checkout. Without arguments it lists the scripts.
"""

import ast
import difflib
import runpy
import sys
from pathlib import Path

from jaxfleet.scripts import process

USAGE = "jaxfleet NAME --flag=value ...   (jaxfleet NAME --help lists the flags)"


def main() -> None:
    """Run the script that the first argument names; without one, list all of them."""
    name, *_ = (*sys.argv[1:], "--help")
    scripts = {
        path.stem: path
        for path in sorted(Path(__file__).parent.glob("[!_]*.py"))
        if path.stem != "flagdefs"
    }
    if name in ("-h", "-help", "--help"):
        width = max(map(len, scripts))
        lines = [f"  {script:{width}}  {_summary(path)}" for script, path in scripts.items()]
        print("\n".join([USAGE, "", *lines]))
        return
    if name not in scripts:
        near = difflib.get_close_matches(name.removesuffix(".py"), scripts, n=1, cutoff=0.0)
        print(f"jaxfleet: there is no {name!r}. Did you mean {near[0]}? ", end="", file=sys.stderr)
        print("jaxfleet without arguments lists all.", file=sys.stderr)
        sys.exit(2)
    process.end_at_ctrl_c(name)
    del sys.argv[1]
    runpy.run_module(f"launch.{name}", run_name="__main__", alter_sys=True)


def _summary(path: Path) -> str:
    """Return the first paragraph of a script's docstring, without importing the script."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split())


if __name__ == "__main__":
    main()
