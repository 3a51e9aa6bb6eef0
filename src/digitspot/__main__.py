"""`python -m digitspot`: the command line."""

from digitspot.cli import main

main()
