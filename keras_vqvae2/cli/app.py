"""The program: its commands, and how it ends.

| exit status | |
|---|---|
| 0 | done |
| 1 | an error of the data, the files or the options: one sentence |
| 2 | an error of use: a command or flag that there is not |
| 70 | anything unforeseen: a traceback |
| 130, 143 | ended by Ctrl-C or SIGTERM, the training saved |
"""

import errno
import os
import sys
import traceback
import warnings
from pathlib import Path

import click
from click.shell_completion import get_completion_class

import keras_vqvae2 as kv
from keras_vqvae2.cli import (
    complete,
    demo,
    evaluate,
    export,
    extract_codes,
    generate,
    info,
    interruption,
    play,
    reconstruct,
    serve_command,
    train_prior,
    train_vqvae,
    tune,
)
from keras_vqvae2.cli.memory import keep_freed_memory

NAME = "keras-vqvae2"
COMPLETION = "_KERAS_VQVAE2_COMPLETE"
UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h
MODULES = (
    *(demo, train_vqvae, extract_codes, train_prior, tune, generate, reconstruct, complete),
    *(play, evaluate, export, serve_command, info),
)


class _InOrder(click.Group):
    """Lists its commands in the order of their use."""

    def list_commands(self, ctx):
        return list(self.commands)


def _show_completion(ctx, parameter, shell):
    if shell is not None:
        click.echo(get_completion_class(shell)(app, {}, NAME, COMPLETION).source())
        ctx.exit()


@click.group(
    cls=_InOrder,
    commands={module.command.name: module.command for module in MODULES},
    context_settings={"max_content_width": 100},
)
@click.option(
    "--show-completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    expose_value=False,
    is_eager=True,
    callback=_show_completion,
    help="Print what completes commands and flags in a shell, to be added to its start-up file.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with each error.")
@click.version_option(kv.__version__, prog_name=NAME)
def app():
    """Learn images by a VQ-VAE-2 and its codes by a PixelCNN prior, then generate new ones."""


def main():
    """Run the program; an error of the user's is one sentence, not a traceback."""
    # Read when TensorFlow is imported, which is later: by a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_freed_memory()
    warnings.formatwarning = _format_warning
    arguments = [word for word in sys.argv[1:] if word != "--debug"] or ["--help"]
    with interruption.handled():
        try:
            status = app.main(arguments, NAME, COMPLETION, standalone_mode=False)
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted: the same command goes on from what is saved.", err=True)
            status = interruption.status()
        except click.ClickException as error:
            status = _fail(error.format_message(), error.exit_code)
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None or "--debug" in sys.argv:
                traceback.print_exc()
            status = UNFORESEEN if sentence is None else _fail(sentence, 1)
    sys.exit(status or 0)  # a command returns nothing


def _sentence(error):
    """What is to be said of an error that was foreseen; None of another."""
    if isinstance(error, OSError) and error.filename is not None:
        kept = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
        return f"{error.filename}: {error.strerror}." + (
            " What was saved before is intact; the same command goes on from there." * kept
        )
    if isinstance(error, (OSError, ValueError, FloatingPointError)):  # the last of divergence
        return str(error)
    # Of TensorFlow's own files, in an export or in logs: no space and no permission.
    if type(error).__name__ in ("ResourceExhaustedError", "PermissionDeniedError"):
        return str(error).splitlines()[0]
    return None


def _format_warning(message, category, filename, lineno, line=None):
    """A warning of ours is a sentence; others are as Python has them."""
    if Path(__file__).parents[1] in Path(filename).parents:
        return f"Warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _fail(error, status):
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
    return status
