"""One thin script per job; flags exist only here.

Each script imports this package before any other (`launch/ruff.toml`), so that Ctrl-C ends it with
one line also while the others, which take a second or more, are imported.
"""

import sys
from pathlib import Path

from jaxfleet.scripts import process

_PROGRAM = Path(getattr(sys.modules["__main__"], "__file__", None) or ".").absolute()
if _PROGRAM.parent == Path(__file__).absolute().parent:
    process.end_at_ctrl_c(_PROGRAM.stem)
