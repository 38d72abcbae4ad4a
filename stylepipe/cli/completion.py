"""``stylepipe completion``: the script that teaches a shell our commands and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from stylepipe.cli.main import make_cli


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of your shell.

    \b
    bash:  stylepipe completion bash >> ~/.bashrc
    zsh:   stylepipe completion zsh >> ~/.zshrc
    fish:  stylepipe completion fish > ~/.config/fish/completions/stylepipe.fish
    """
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(make_cli(), {}, "stylepipe", "_STYLEPIPE_COMPLETE").source())
