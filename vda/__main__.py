"""``python -m vda``: the program, where its name is not on the path."""

from vda.cli import main

main(prog_name="vda")
