"""Named runs: `RUNS` maps each name to a `Run`. Python values, so that a run is checked where it is written."""

from configs.ablations import ABLATION_RUNS
from configs.ant import ANT_RUNS
from configs.opdm import OPDM_RUNS
from configs.pretraining import PRETRAINING_RUNS
from opdm.config import Run

RUNS: dict[str, Run] = {**OPDM_RUNS, **PRETRAINING_RUNS, **ABLATION_RUNS, **ANT_RUNS}
