import sys

print(sys.stdin.read() == "", len(sys.argv), sys.stdin.isatty(), sys.flags.dev_mode)
print("to stderr", file=sys.stderr, flush=True)
sys.stdout.flush()
sys.stdout.buffer.write(b"bytes\n")
print(sys.stdout.encoding, sys.getdefaultencoding(), sys.byteorder)

# expect:
# True 1 False False
# bytes
# utf-8 utf-8 little
