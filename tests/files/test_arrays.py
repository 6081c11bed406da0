import io
import zipfile

import numpy as np
import pytest

from keras_vqvae2.files.arrays import open_arrays
from keras_vqvae2.files.outside import DamagedFileError


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {
        "scalar": np.float64(3),
        "empty": np.zeros((0, 4)),
        "fortran": np.asfortranarray(np.arange(6, dtype="int32").reshape(2, 3)),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    with open_arrays(tmp_path / "a.npz") as found:
        assert set(found.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def claiming(descr, shape):
    """A `.npy` file whose header tells of more than there is."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        claiming("<f8", (10**12,)),
        claiming("<f8", (2**62, 2**62)),  # whose size overflows 64 bits to 0
        claiming("|O", (1,)),  # a pickle
        claiming("<f8", (-1, -1)),
        b"no header",
    ],
    ids=["terabytes", "overflow", "pickle", "negative", "none"],
)
def test_what_is_no_plain_array_is_refused(tmp_path, data):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(DamagedFileError, match="a.npz must hold plain arrays.*Received: 'a.npy'"):
        open_arrays(tmp_path / "a.npz")
