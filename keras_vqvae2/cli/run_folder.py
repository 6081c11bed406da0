"""Where the files of a run lie."""

from pathlib import Path

CONFIG_FILE = "config.json"
# In the folder of a search: the fields that its winner has.
BEST_FILE = "best.json"


class RunFolder:
    """The places of a run's files, in its `run_dir`."""

    run_dir: Path

    @property
    def file(self) -> Path:
        """Where the config itself is saved."""
        return self.run_dir / CONFIG_FILE

    @property
    def vqvae_dir(self) -> Path:
        """Folder of stage 1: checkpoints, history and the final model."""
        return self.run_dir / "vqvae2"

    @property
    def vqvae_file(self) -> Path:
        """The trained `VQVAE2`."""
        return self.vqvae_dir / "vqvae2_final.keras"

    @property
    def codes_dir(self) -> Path:
        """Folder of the codes, with one folder a split."""
        return self.run_dir / "codes"

    @property
    def prior_dir(self) -> Path:
        """Folder of stage 2: checkpoints, history and the final model."""
        return self.run_dir / "prior"

    @property
    def prior_file(self) -> Path:
        """The trained `HierarchicalPrior`."""
        return self.prior_dir / "prior_final.keras"

    @property
    def report_file(self) -> Path:
        """What was measured of the trained models."""
        return self.run_dir / "report.json"

    @property
    def report_page(self) -> Path:
        """The same as a page, with the pictures of the run."""
        return self.run_dir / "report.html"

    @property
    def saved_model_dir(self) -> Path:
        """Folder of the exported versions, for TensorFlow Serving."""
        return self.run_dir / "saved_model"
