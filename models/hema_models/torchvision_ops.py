"""Make torchvision importable beside a CPU build of torch.

The only torchvision wheels on the package index link CUDA; beside a CPU torch their C++ operators do not load and the
import fails with ``operator torchvision::nms does not exist``. Declaring the two operator schemas beforehand mends it.
Where the wheel's own operators load, nothing is done at all.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LOCK = threading.Lock()  # stages load their networks side by side
_LIBRARIES: list[Any] = []  # a torch.library.Library undoes its registrations when it is collected


def ensure_torchvision() -> str:
    """Prepare torchvision for import; call before timm or ultralytics are imported.

    Returns:
        ``native`` where the wheel's operators load, ``declared`` where the schemas were declared here, ``imported``
        where torchvision was imported before, ``absent`` where it is not installed.
    """
    with _LOCK:
        if "torchvision" in sys.modules:
            return "imported"
        spec = importlib.util.find_spec("torchvision")
        if spec is None or spec.origin is None:
            return "absent"
        if _native_operators_load(Path(spec.origin).parent):
            return "native"
        _declare_operators()
        return "declared"


def _native_operators_load(root: Path) -> bool:
    import torch

    for library in sorted(root.glob("_C*.so")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return True
    return False


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _greedy_nms, "CPU")
    _LIBRARIES.append(library)
    import torchvision

    torchvision.extension._has_ops = lambda: True


def _greedy_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy NMS over boxes (N, 4) xyxy; what torchvision's own operator computes."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order].float()
    area = (ranked[:, 2] - ranked[:, 0]) * (ranked[:, 3] - ranked[:, 1])
    alive = torch.ones(len(ranked), dtype=torch.bool)
    keep: list[int] = []
    for i in range(len(ranked)):
        if not alive[i]:
            continue
        keep.append(i)
        rest = ranked[i + 1 :]
        sides = (torch.minimum(ranked[i, 2:], rest[:, 2:]) - torch.maximum(ranked[i, :2], rest[:, :2])).clamp_(min=0)
        inter = sides[:, 0] * sides[:, 1]
        alive[i + 1 :] &= inter <= iou_threshold * (area[i] + area[i + 1 :] - inter)
    return order[torch.tensor(keep, dtype=torch.long)]
