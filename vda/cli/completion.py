"""``vda completion``: what a shell needs to complete commands, options and files."""

import click
from click.shell_completion import get_completion_class

from vda.cli.options import Command
from vda.cli.output import say

_PROGRAM = "vda"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes the words of vda in SHELL: sourced by it, or kept where it looks for such files.

    \b
    bash: source <(vda completion bash), or a file as below
    zsh:  vda completion zsh > ~/.zfunc/_vda   (with fpath+=~/.zfunc before compinit)
    fish: vda completion fish > ~/.config/fish/completions/vda.fish

    Example: vda completion bash > ~/.local/share/bash-completion/completions/vda
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click completes all three"
    say(*kind(ctx.find_root().command, {}, _PROGRAM, "_VDA_COMPLETE").source().splitlines())
