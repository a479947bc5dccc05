"""Data sets by the type of their configuration.

The contract: a data set is built from its config, what the model asks of its samples (for one that paints, the number
of references and whether it uses motion) and a seed, maps an index to one sample as a pure function of seed and index,
and names the samples that no run trains on. The sample of a model that paints is a `Batch` without the leading B.
"""

from collections.abc import Callable

from opdm.config import CelDataConfig, CelPairDataConfig, ClipsDataConfig, ShotDataConfig
from opdm.data.cel_dataset import CelDataset
from opdm.data.cel_pairs import CelPairDataset
from opdm.data.clips_dataset import ClipsDataset
from opdm.data.shot_dataset import ShotDataset

DATASETS: dict[type[ShotDataConfig], Callable[..., ShotDataset]] = {
    CelDataConfig: CelDataset,
    ClipsDataConfig: ClipsDataset,
}
PAIR_DATASETS: dict[type[CelPairDataConfig], type[CelPairDataset]] = {CelPairDataConfig: CelPairDataset}
"""For models that match."""
