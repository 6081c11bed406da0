"""The command `serve-command`: how an exported model is served."""

from pathlib import Path

import click

from keras_vqvae2.cli.flags import Command


@click.command(
    "serve-command",
    cls=Command,
    example="runs/photos/saved_model",
    short_help="Print the commands that serve an exported model.",
)
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", default=8500, show_default=True, help="For gRPC.")
@click.option("--rest-port", default=8501, show_default=True, help="For REST.")
def command(directory, port, rest_port):
    """Print the commands that serve an exported model: the server's own, and docker's.

    DIRECTORY is the folder of versions that `export` wrote.
    """
    from keras_vqvae2.export.serving import serve_command

    for line in serve_command(directory, port, rest_port):
        click.echo(line)
