import textwrap

text = """
    Sandboxes run code that nobody has read. Each has walls of its own, and
    what it costs is counted to the second.
"""
print(textwrap.fill(textwrap.dedent(text).strip(), width=34, initial_indent="* ",
                    subsequent_indent="  "))
print(textwrap.shorten("Hello wide world of text", width=18, placeholder=" ..."))
print(textwrap.indent("a\n\nb", "> "))

# expect:
# * Sandboxes run code that nobody
#   has read. Each has walls of its
#   own, and what it costs is
#   counted to the second.
# Hello wide ...
# > a
#
# > b
