"""Programs in specs, to the dataclasses of `model.specs`: see `schema.parse`."""

import binascii
import re
from collections.abc import Iterable

from soulbox.model import specs
from soulbox.model.errors import InvalidManifest
from soulbox.schema import common, inputs


def size_bytes(text: str) -> int:
    """How many bytes it takes as UTF-8."""
    # A lone surrogate cannot be encoded strictly. The API server stores none, but computing a size
    # must not fail.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def to_language(language: str | None) -> str | None:
    """A name of an interpreter.

    Raises:
        InvalidManifest: none that a class can have.
    """
    if language is not None and not re.fullmatch(common.LANGUAGE_PATTERN, language):
        raise InvalidManifest(
            "spec.language",
            "is not the name of a language",
            "begin with a lower-case letter, then use a-z, 0-9, '+', '.', '#' and '-'",
        )
    return language


def to_input_files(files: Iterable[inputs.InputFile]) -> tuple[specs.InputFile, ...]:
    """Files for the workspace.

    Raises:
        InvalidManifest: a path that leaves the workspace, is the runner's, or occurs twice;
            content that is not in its encoding.
    """
    found = tuple(_input_file(index, each) for index, each in enumerate(files))
    seen: set[str] = set()
    for index, file in enumerate(found):
        if file.path in seen:
            raise InvalidManifest(
                f"spec.files[{index}].path", "occurs twice", "remove one of the two"
            )
        seen.add(file.path)
    return found


def _input_file(index: int, file: inputs.InputFile) -> specs.InputFile:
    field = f"spec.files[{index}]"
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        raise InvalidManifest(
            f"{field}.path",
            "leaves the workspace or is not plain",
            "make it relative, without '.', '..' and empty parts",
        )
    if "\0" in file.path or file.path.startswith(specs.RESERVED_PATH_PREFIX):
        raise InvalidManifest(
            f"{field}.path",
            f"holds NUL or starts with {specs.RESERVED_PATH_PREFIX}, which is the runner's own",
            "name it otherwise",
        )
    if any(len(part.encode()) > inputs.MAX_NAME_BYTES for part in file.path.split("/")):
        raise InvalidManifest(
            f"{field}.path",
            f"has a name longer than {inputs.MAX_NAME_BYTES} bytes",
            "shorten it; a letter outside ASCII takes two to four bytes",
        )
    if file.encoding is specs.FileEncoding.BASE64:
        try:
            binascii.a2b_base64(file.content.encode("ascii"), strict_mode=True)
        except ValueError:  # UnicodeEncodeError and binascii.Error are both one
            raise InvalidManifest(
                f"{field}.content",
                "is not base64 (RFC 4648, without line breaks)",
                "encode it with base64 -w0",
            ) from None
    return specs.InputFile(
        path=file.path, content=file.content, encoding=file.encoding, mode=file.mode
    )
