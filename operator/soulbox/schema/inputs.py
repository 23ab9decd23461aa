"""Programs in specs: where the code lies, and the files it is given."""

from typing import Annotated, Final

from pydantic import Field

from soulbox.model.specs import (
    MAX_INPUT_BYTES,
    RESERVED_PATH_PREFIX,
    FileEncoding,
)
from soulbox.schema.common import (
    LANGUAGE_PATTERN,
    ApiModel,
    KeyRef,
    cel,
    validations,
)

# Of Linux: NAME_MAX.
MAX_NAME_BYTES: Final = 255
MAX_MODE: Final = 0o777


class CodeFrom(ApiModel):
    """Where the code is when it is not in the object itself."""

    config_map_key_ref: Annotated[
        KeyRef | None, Field(description="A key of a ConfigMap of the same namespace.")
    ] = None
    secret_key_ref: Annotated[
        KeyRef | None,
        Field(
            description=(
                "A key of a Secret of the same namespace that carries the label"
                ' soulbox.dev/readable: "true".'
            )
        ),
    ] = None


class InputFile(ApiModel):
    """A file written below the workspace before the code starts."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            description="Where it goes, relative to the workspace: data/input.csv.",
            json_schema_extra=validations(
                cel(
                    "!self.startsWith('/')"
                    " && self.split('/').all(part, part != '' && part != '.' && part != '..')",
                    "file path leaves the workspace or is not in plain form: make it relative,"
                    " without '.', '..' and empty parts",
                ),
                cel(
                    rf"!self.contains('\u0000') && !self.startsWith('{RESERVED_PATH_PREFIX}')",
                    f"file path holds NUL or starts with {RESERVED_PATH_PREFIX}, which is reserved"
                    " for the runner: choose another name",
                ),
                cel(
                    f"self.split('/').all(part, size(bytes(part)) <= {MAX_NAME_BYTES})",
                    f"file path has a name longer than {MAX_NAME_BYTES} bytes: shorten it;"
                    " a letter outside ASCII takes two to four bytes",
                ),
            ),
        ),
    ]
    content: Annotated[
        str,
        Field(
            max_length=MAX_INPUT_BYTES,
            description="Content of the file, in the form that encoding says. Default: empty.",
        ),
    ] = ""
    encoding: Annotated[
        FileEncoding,
        Field(
            description="utf8: content is the text itself. base64: content is base64 of the bytes.",
            strict=False,
        ),
    ] = FileEncoding.UTF8
    mode: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_MODE,
            description=(
                "Permission bits, as for a Kubernetes volume: octal 0755 or decimal 493. Default:"
                " 0755 for content that begins with #!, otherwise 0644."
            ),
        ),
    ] = None


# With 64 the estimated cost of the rule on the size of all input exceeds the API server's budget.
MAX_FILES: Final = 32
CODE_FROM_RULES: Final = validations(
    cel(
        "has(self.configMapKeyRef) != has(self.secretKeyRef)",
        "spec.codeFrom needs exactly one of configMapKeyRef and secretKeyRef:"
        " set one and remove the other",
    )
)
LANGUAGE_RULES: Final = validations(
    cel(
        f"self.matches('{LANGUAGE_PATTERN}')",
        "this is not the name of a language: use a lower-case letter, then a-z, 0-9,"
        " '+', '.', '#' and '-'",
        words="self + ' is not the name of a language: use a lower-case letter, then"
        " a-z, 0-9, +, ., # and -, such as python'",
    )
)
