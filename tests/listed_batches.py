"""Batches for `fit` as they are: arrays would be checked as a whole before training."""

import keras


class ListedBatches(keras.utils.PyDataset):
    """A list of batches, in its order."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]
