"""Adapters: what relates the drawing to its keyframes, added to the keyframe features at every level.

The contract: an adapter is built from (its config, the number of references, the U-Net's widths and norm groups),
has `proposals`, the number of frames it offers to a choice, and maps conditions to `Guidance`. It runs once per
drawing, never once per denoising step.
"""

from opdm.adapters.contract import Adapter, Guidance
from opdm.adapters.flow import FlowAdapter
from opdm.adapters.identity import IdentityAdapter
from opdm.adapters.offset import OffsetAdapter
from opdm.config import AdapterConfig, FlowAdapterConfig, IdentityAdapterConfig, OffsetAdapterConfig

ADAPTERS: dict[type[AdapterConfig], type[Adapter]] = {
    IdentityAdapterConfig: IdentityAdapter,
    OffsetAdapterConfig: OffsetAdapter,
    FlowAdapterConfig: FlowAdapter,
}

__all__ = ["ADAPTERS", "Adapter", "FlowAdapter", "Guidance", "IdentityAdapter", "OffsetAdapter"]
