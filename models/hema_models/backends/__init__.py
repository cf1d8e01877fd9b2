"""Back ends that run a network: OpenVINO, torch and ONNX Runtime behind one call.

A network takes (B, S, S, 3) uint8 RGB and returns its outputs as float32 arrays. The batch is fixed: fewer pictures
are padded by the caller, so that a row's result depends neither on its neighbours nor on how many there are.
"""

from hema_models.backends.network import Network, open_network

__all__ = ["Network", "open_network"]
