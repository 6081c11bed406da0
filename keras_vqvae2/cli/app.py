"""The program: its commands, and how it ends."""

import ctypes
import os
import sys

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
    reconstruct,
    serve_command,
    train_prior,
    train_vqvae,
    tune,
)

NAME = "keras-vqvae2"
COMPLETION = "_KERAS_VQVAE2_COMPLETE"
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
MODULES = (
    *(demo, train_vqvae, extract_codes, train_prior, tune, generate, reconstruct, complete),
    *(evaluate, export, serve_command, info),
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
@click.version_option(kv.__version__, prog_name=NAME)
def app():
    """Learn images by a VQ-VAE-2 and its codes by a PixelCNN prior, then generate new ones."""


def main():
    """Run the program; an error of the user's is one line, not a traceback."""
    # Read when TensorFlow is imported, which is later: by a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _keep_freed_memory()
    arguments = sys.argv[1:] or ["--help"]
    try:
        status = app.main(arguments, NAME, COMPLETION, standalone_mode=False)
    except click.Abort:
        status = 130  # as of other programs that Ctrl+C ends
    except click.ClickException as error:
        status = _fail(error.format_message(), error.exit_code)
    except (OSError, ValueError) as error:
        status = _fail(error, 1)
    sys.exit(status or 0)  # a command returns nothing


def _keep_freed_memory():
    """Let the C library, if it is glibc, keep what is freed rather than give it back.

    A step on a CPU frees blocks of many megabytes and asks for them again. Fresh from the system
    they come page by page, which took a tenth of a prior's step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 1 << 28)  # what keeps the heaps of other threads


def _fail(error, status):
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
    return status
