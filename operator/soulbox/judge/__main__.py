"""`python -m soulbox.judge`: the child process. Only the operator starts it."""

from soulbox.judge.serve import main

main()
