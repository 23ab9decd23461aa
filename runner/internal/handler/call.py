"""Calls one function of the user's code: `python call.py NAME CODE ARGUMENTS...`.

The function gets the JSON that SOULBOX_INPUT names, or None; what it returns, or what it returns
when awaited, is written as JSON to SOULBOX_RESULT. All else is as if CODE itself had been run.
"""

import os
import sys

try:
    import _json
except ImportError:  # no CPython
    _json = None


class HandlerError(Exception):
    """Not in a line of the code, but between the code and us."""

    __module__ = "builtins"  # it is told without a module's name


class Form:
    """What the scanner of `json` is asked for by `json.loads`."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


def parse(text):
    """As json.loads does. To import json takes half as long as Python takes to start, nearly all
    of it for regular expressions that its C part does without. What that part refuses, or does
    not know in this version of Python, json itself is asked for, and says what is wrong."""
    try:
        value, end = _json.make_scanner(Form)(text, 0)
        if end == len(text):
            return value
    except Exception:
        pass
    import json

    return json.loads(text)


def write(value):
    """As json.dumps(value, ensure_ascii=False, allow_nan=False) does."""
    try:
        encode = _json.make_encoder(
            {}, refuse, _json.encode_basestring, None, ": ", ", ", False, False, False
        )
        return "".join(encode(value, 0))
    except Exception:
        pass
    import json

    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def refuse(value):
    raise TypeError(value)


def load(path):
    """The code as a module; its main module, too, whose name is not that of one that is run.

    The name is the one that multiprocessing has for it in its children: they load the file that
    it says it is of, and find there what was pickled here.
    """
    module = type(sys)("__mp_main__")
    module.__file__ = path
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec", dont_inherit=True), vars(module))
    return vars(module)


def find(name, there):
    if callable(there.get(name)):
        return there[name]
    functions = [
        key
        for key, value in there.items()
        if isinstance(value, type(load)) and value.__module__ == "__mp_main__"
    ]
    found = "it has " + ", ".join(functions[:16]) if functions else "it has none at all"
    raise HandlerError("the code has no function %s; %s" % (name, found))


def read_input(path):
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read())
    except (ValueError, RecursionError) as error:
        raise HandlerError("the input cannot be read as JSON: %s" % error) from None


def write_result(name, value, path):
    try:
        text = write(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        words = "what %s returned cannot be written as JSON: %s" % (name, error)
        raise HandlerError(words) from None
    with open(path, "wb") as file:
        file.write(text)


def call(name, path):
    # Before the code can change them.
    source, target = os.environ.get("SOULBOX_INPUT"), os.environ["SOULBOX_RESULT"]
    function = find(name, load(path))
    value = function(read_input(source))
    if hasattr(value, "__await__"):
        import asyncio

        async def wait(awaitable):
            return await awaitable

        value = asyncio.run(wait(value))
    write_result(name, value, target)


def tell(error):
    """As the interpreter does, from the first line that is the user's."""
    trace = None if isinstance(error, HandlerError) else error.__traceback__
    while trace and str(trace.tb_frame.f_globals.get("__name__")).split(".")[0] in (
        "__main__",
        "asyncio",
    ):
        trace = trace.tb_next
    if trace is None and not isinstance(error, SyntaxError):
        print("Traceback (most recent call last):", file=sys.stderr)
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def main():
    own, name, path = sys.argv[:3]
    sys.argv[:3] = [path]
    if sys.path[0] == os.path.dirname(own):  # neither with -I nor with -P
        sys.path[0] = os.path.dirname(path)
    try:
        call(name, path)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        tell(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
