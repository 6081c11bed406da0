"""The command line in the process of the tests."""

import pytest

from keras_vqvae2 import cli


def command(*arguments):
    """Run the command line as the shell does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["keras-vqvae2", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as exit_:
            return exit_.code
    return 0
