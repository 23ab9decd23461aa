"""The ordinary programs of tests/programs: what they are, and what each must print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "programs"
MARK = "\n# expect:\n"
COMMANDS = {".py": ["python3"], ".sh": ["bash"]}


@dataclass(frozen=True)
class Program:
    """One file: code, then `# expect:` and what it prints, as comments."""

    name: str  # topic/stem
    suffix: str
    code: str
    want: str

    @property
    def command(self) -> list[str]:
        return COMMANDS[self.suffix]


def read(path: Path) -> Program:
    text = path.read_text()
    code, mark, expected = text.rpartition(MARK)
    assert mark, f"{path} does not say what it prints"
    lines = [line[2:] for line in expected.splitlines()]  # "# " or "#"
    name = str(path.relative_to(FOLDER).with_suffix(""))
    return Program(name, path.suffix, code + "\n", "".join(f"{line}\n" for line in lines))


_ALL = [read(path) for path in sorted(FOLDER.glob("*/*")) if path.suffix in COMMANDS]
# Those that need an image with libraries run on the cluster: tests/e2e/test_images.py.
LIBRARIES = [program for program in _ALL if program.name.startswith("libraries/")]
PROGRAMS = [program for program in _ALL if program not in LIBRARIES]
