"""Adapters: what relates the drawing to its keyframes, added to the keyframe features at every level.

The contract: an adapter is built from (its config, the number of references, the U-Net's widths and norm groups),
and maps conditions to features. It runs once per drawing, never once per denoising step.
"""

from opdm.adapters.contract import Adapter
from opdm.adapters.deformable import DeformableAdapter
from opdm.adapters.flow import FlowAdapter
from opdm.adapters.identity import IdentityAdapter
from opdm.adapters.offset import OffsetAdapter
from opdm.adapters.raft import RaftAdapter
from opdm.config import (
    AdapterConfig,
    DeformableAdapterConfig,
    FlowAdapterConfig,
    IdentityAdapterConfig,
    OffsetAdapterConfig,
    RaftAdapterConfig,
)

ADAPTERS: dict[type[AdapterConfig], type[Adapter]] = {
    IdentityAdapterConfig: IdentityAdapter,
    OffsetAdapterConfig: OffsetAdapter,
    DeformableAdapterConfig: DeformableAdapter,
    FlowAdapterConfig: FlowAdapter,
    RaftAdapterConfig: RaftAdapter,
}

__all__ = ["ADAPTERS", "Adapter", "DeformableAdapter", "FlowAdapter", "IdentityAdapter", "OffsetAdapter", "RaftAdapter"]
