"""What the documentation prints: commands, Python blocks and links."""

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
PAGES = [
    *(ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "tutorials"),
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
SCRIPTS = sorted(path.stem for path in LAUNCH.glob("[!_]*.py") if path.stem != "flagdefs")
SOURCES = sorted(
    path
    for folder in ("jaxfleet", "jaxinr", "jaxsr", "experiments", "launch")
    for path in (ROOT / folder).rglob("*.py")
)
FLAGFILES = sorted(LAUNCH.glob("flagfiles/*/*.flags"))

# What a test environment cannot have, with the reason and the test that stands for it.
NOT_RUN = {
    "launch/app.py": "needs Gradio, which asks for an older Pillow; in an environment of its own "
    "tests/experiments/app/test_server.py serves the page, asks for it and ends it",
}
# The reader's own flagfiles and folders, and what stands for them.
OWN = {
    "--flagfile=my.flags": "--flagfile=smoke.flags",
    "--flagfile=runs/sr_installed/labelled.flags": "--labelled='a=mine architecture=srmd scale=2' "
    "--labelled='b=others architecture=upcunet scale=4'",
    "/shared/run": "runs/shared",
    "gs://bucket/": "runs/bucket_",
    "s3://my-bucket/": "runs/bucket_",
}

_BEFORE = r"^(?:\s{4,}|.*?`|.*?&& )?(?:[A-Z_]+=\S+ |time |srun )*(?:\S*/)?"
_COMMAND = re.compile(_BEFORE + r"python (launch/\w+\.py\b[^`]*)")


@dataclass(frozen=True)
class Command:
    """One printed command.

    text: from `launch/NAME.py` on. source: the file that prints it.
    """

    text: str
    source: str

    @property
    def script(self):
        return self.text.split(".py")[0].removeprefix("launch/")

    @property
    def args(self):
        text = self.text
        for printed, here in OWN.items():
            text = text.replace(printed, here)
        return shlex.split(text)[1:]

    @property
    def reason_not_run(self):
        return next((why for part, why in NOT_RUN.items() if part in f"{self.text}  "), None)


def _lines(text):
    """Lines with backslash continuations joined."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def commands_of(text, source):
    found = []
    text = re.sub(r"\bjaxfleet (\w+)(?= --)", r"python launch/\1.py", text)
    for line in _lines(text):
        for part in [line, *re.findall(r"`[^`]*`", line)[1:]]:
            match = _COMMAND.match(part)
            if match and "NAME" not in match[1].split()[0]:
                text = match[1].split(" & ")[0].strip()
                if text.count("'") % 2:  # the end of what stands in quotes
                    text = text.removesuffix("'")
                found.append(Command(text, source))
    return found


def commands():
    """Every printed command once, with the file that prints it first."""
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in [*PAGES, *TUTORIALS]}
    for script in SCRIPTS:
        texts[f"launch/{script}.py"] = docstring(script)
    for path in FLAGFILES:
        comments = [line[1:] for line in path.read_text().splitlines() if line.startswith("#")]
        texts[str(path.relative_to(ROOT))] = "\n".join(comments)
    found = {}
    for source, text in texts.items():
        for command in commands_of(text, source):
            found.setdefault(command.text, command)
    return list(found.values())


def docstring(script):
    """What `--help` of a script begins with."""
    return ast.get_docstring(ast.parse((LAUNCH / f"{script}.py").read_text())) or ""


def python_blocks(page):
    """The Python blocks of a page in order; those marked `.notest` are left out."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def links(page):
    """Relative links of a page, without anchors."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.split("#")[0] for target in targets if "://" not in target and target[0] != "#"]
