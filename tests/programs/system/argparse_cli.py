import argparse

parser = argparse.ArgumentParser(prog="tool", description="Does things.")
parser.add_argument("path")
parser.add_argument("-n", "--count", type=int, default=1, choices=range(5))
parser.add_argument("-v", action="count", default=0)
parser.add_argument("--tag", action="append")
commands = parser.add_subparsers(dest="command")
commands.add_parser("run").add_argument("--fast", action="store_true")
print(parser.parse_args(["a.txt", "-n", "3", "-vv", "--tag", "x", "--tag", "y", "run", "--fast"]))
try:
    parser.parse_args(["a", "-n", "9"])
except SystemExit as error:
    print("exit", error.code)
print(parser.format_usage().split()[:2])

# expect:
# Namespace(path='a.txt', count=3, v=2, tag=['x', 'y'], command='run', fast=True)
# exit 2
# ['usage:', 'tool']
