"""What every test gets: the same random numbers in any order, and no GPU test where there is no GPU."""

import os
import random

import cv2
import numpy as np
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several: threads of its own would wait for those of the others
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what a test starts
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def gl():
    """OpenGL that draws without a screen; tests skip where there is none."""
    pytest.importorskip("moderngl")
    from opdm.data.rig.render import open_gl
    from opdm.errors import InputError

    try:
        return open_gl()
    except InputError as error:
        pytest.skip(str(error))


SHOT_SIZE = 96
"""Height and width, in pixels, of `shot`."""


@pytest.fixture(scope="session")
def shot():
    """Five generated frames of which everything is known."""
    from opdm.data.cel_clips import cel_clips

    (clip,) = cel_clips([3], height=SHOT_SIZE, width=SHOT_SIZE, frames=5)
    return clip


@pytest.fixture(scope="session")
def matcher():
    """The Animation Transformer inside the package."""
    from opdm.ant import load_ant
    from opdm.matching import Matcher

    return Matcher(load_ant("ant-small"))
