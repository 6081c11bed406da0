import struct

import numpy as np
import pytest

from keras_vqvae2.datasets.tfrecords import TFRecords


def write(path, records):
    """A file as the format's description has it; the checksums are not looked at."""
    path.write_bytes(b"".join(struct.pack("<QI", len(r), 0) + r + b"\0" * 4 for r in records))
    return path


def test_records_of_several_files_are_found_in_order(tmp_path):
    records = [bytes([size]) * size for size in range(7)]  # the first of them is empty
    files = [write(tmp_path / "a", records[:4]), write(tmp_path / "b", records[4:])]
    whole = TFRecords([(files[0], 0, 4), (files[1], 0, 3)])
    assert list(whole) == records
    assert whole[-1] == records[-1]
    assert list(TFRecords([(files[0], 2, 1), (files[1], 1, 2)])) == [records[2], *records[5:]]
    assert len(TFRecords([])) == 0


@pytest.mark.tensorflow_only
def test_tensorflows_own_files_are_read(tmp_path):
    import tensorflow as tf

    records = [np.random.default_rng(i).bytes(1000 * i) for i in range(5)]
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for record in records:
            writer.write(record)
    assert list(TFRecords([(tmp_path / "file", 0, 5)])) == records


@pytest.mark.parametrize("cut", [1, 4, 5, 12, 15, 16, 19])
def test_a_file_that_ends_early_is_refused_by_name(tmp_path, cut):
    path = write(tmp_path / "file", [b"ab", b"c"])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="file is damaged: it must hold 2 records, has [01]"):
        TFRecords([(path, 0, 2)])


def test_a_size_without_measure_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<QI", 2**63 + 5, 0) + b"ab" + b"\0" * 4)
    with pytest.raises(ValueError, match="damaged"):
        TFRecords([(path, 0, 1)])
