"""Generated cel animation as training samples."""

import numpy as np

from opdm.config import CelDataConfig, ShotDataConfig
from opdm.data.cel_animation import CelShot
from opdm.data.shot_dataset import ShotDataset


class CelDataset(ShotDataset):
    """Generated shots, none of them twice."""

    config: CelDataConfig

    def make_shot(self, random: np.random.Generator, *, is_held_out: bool) -> CelShot:
        """A new one; held-out ones are others because their indices are."""
        return make_cel_shot(self.config, random)


def make_cel_shot(config: ShotDataConfig, random: np.random.Generator) -> CelShot:
    """A shot of any length and size that the configuration allows."""
    gap = 2 + int(random.integers(config.longest_gap - 1))
    size = int(random.integers(config.shot_sizes[0], config.shot_sizes[1] + 1))
    return CelShot(int(random.integers(2**62)), height=size, width=size, frames=gap + 1)
