"""Several devices and processes: sums over replicas, and who takes part in a training."""

from keras_vqvae2.distribution.processes import Workers, apart, data_options, peers, start
from keras_vqvae2.distribution.replicas import (
    GlobalRows,
    all_reduce_sum,
    check_compiled,
    is_multi_worker,
    num_replicas,
    run_on_batch,
)

__all__ = [
    "GlobalRows",
    "Workers",
    "all_reduce_sum",
    "apart",
    "check_compiled",
    "data_options",
    "is_multi_worker",
    "num_replicas",
    "peers",
    "run_on_batch",
    "start",
]
