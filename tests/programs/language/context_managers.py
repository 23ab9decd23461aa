from contextlib import ExitStack, closing, contextmanager, nullcontext, redirect_stdout, suppress
import io

@contextmanager
def tag(name):
    print(f"<{name}>")
    try:
        yield name.upper()
    finally:
        print(f"</{name}>")

with tag("a") as up, tag("b"):
    print(up)
with suppress(ZeroDivisionError), tag("c"):
    1 / 0
with ExitStack() as stack:
    names = [stack.enter_context(tag(f"s{i}")) for i in range(2)]
    stack.callback(print, "callback")
out = io.StringIO()
with redirect_stdout(out), nullcontext(5) as five:
    print("hidden", five)
print(repr(out.getvalue()))

# expect:
# <a>
# <b>
# A
# </b>
# </a>
# <c>
# </c>
# <s0>
# <s1>
# callback
# </s1>
# </s0>
# 'hidden 5\n'
