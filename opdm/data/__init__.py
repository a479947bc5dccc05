"""Data sets by the type of their configuration.

The contract: a data set is built from (its config, the number of references, whether
the model uses motion, a seed), maps an index to one sample, a
`Batch` without the leading B, as a pure function of seed and index, and names the samples that no run trains on.
"""

from opdm.config import CelDataConfig, DataConfig
from opdm.data.cel_dataset import CelDataset

DATASETS: dict[type[DataConfig], type[CelDataset]] = {CelDataConfig: CelDataset}
