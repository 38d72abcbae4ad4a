"""A plugin that adds a command, and presets: stylepipe newest FOLDER --plugin newest.py"""

from pathlib import Path

import click

from stylepipe import hookimpl


@hookimpl
def stylepipe_commands(cli):
    @cli.command("newest")
    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    def newest(folder):
        """Name the newest file of FOLDER, to paint that one first."""
        files = [path for path in folder.iterdir() if path.is_file()]
        if not files:
            raise click.UsageError(f"{folder} holds no files")
        click.echo(max(files, key=lambda path: path.stat().st_mtime))


@hookimpl
def stylepipe_presets():
    return [Path(__file__).with_name("presets")]
