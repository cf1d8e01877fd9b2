"""Check that a wheel carries configurations, weights, cards, schema and licences."""

import sys
import zipfile

WANTED = (
    "hema_stream/configs/pipelines/smear.launch",
    "hema_stream/configs/profiles/cpu.yaml",
    "hema_stream/configs/taxonomies/wbc.yaml",
    "hema_stream/core/report.schema.json",
    "hema_stream/service/static/index.html",
    "hema_stream/service/static/licences.txt",
    "hema_models/weights/segment/yolo11n-seg.safetensors",
    "hema_models/weights/segment/LICENSE",
    "hema_models/weights/rbc.safetensors",
    "hema_models/weights/wbc.card.json",
)

names = set(zipfile.ZipFile(sys.argv[1]).namelist())
missing = [name for name in WANTED if name not in names]
if missing:
    sys.exit(f"the wheel lacks {', '.join(missing)}")
print(f"wheel: {len(names)} files, all data present")
