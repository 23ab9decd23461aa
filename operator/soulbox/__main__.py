"""`python -m soulbox`."""

from soulbox.app.cli import main

main()
