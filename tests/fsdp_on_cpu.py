"""scripts/train.py with split weights (FSDP) on CPUs, where accelerate offers that on accelerators only."""

import runpy
import sys
from pathlib import Path

from accelerate.state import PartialState
from accelerate.utils import DistributedType

if __name__ == "__main__":
    PartialState(cpu=True)
    # Any kind of several accelerators will do: their device stays the CPU.
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    script = Path(__file__).parents[1] / "scripts" / "train.py"
    sys.argv[0] = str(script)
    runpy.run_path(str(script), run_name="__main__")
