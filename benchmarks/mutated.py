"""Files with bytes changed, cut, doubled or left out: each is read as two independent readers do, or refused by code.

A file is validated and read in a worker process with the product's own bound of memory; what only our reader accepts
is compared with nothing. Two readers are asked: PIL, and tifffile, OpenCV or pydicom. Where both give the same pixels,
ours are the same within 3 grey levels or the file is refused.

python benchmarks/mutated.py --files 10000 --json mutated.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

ALIKE = 3
ADDRESS_SPACE = 4 << 30
SLOW_S = 60.0
WHITE = np.full(3, 255, np.uint8)
Pixels = NDArray[np.uint8]


def field() -> Pixels:
    """(96, 112, 3) uint8: something with edges and colours."""
    y, x = np.mgrid[:96, :112]
    return np.stack([x * 2, y * 2, (x * y) // 40 + ((x // 8 + y // 8) % 2) * 60], axis=2).clip(0, 255).astype(np.uint8)


def seeds(folder: Path) -> Iterator[Path]:
    """Whole files of every kind."""
    import tifffile
    from PIL import Image

    pixels = field()
    image = Image.fromarray(pixels)
    plain: dict[str, dict[str, Any]] = {
        "base.jpg": {"quality": 92},
        "progressive.jpg": {"quality": 92, "progressive": True},
        "restart.jpg": {"quality": 92, "restart_marker_blocks": 2, "subsampling": 0},
        "a.png": {},
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    plain |= {"turned.jpg": {"quality": 92, "exif": exif}, "turned.png": {"exif": exif}}
    for name, options in plain.items():
        image.save(folder / name, **options)
        yield folder / name
    layouts: dict[str, dict[str, Any]] = {"strip": {"rowsperstrip": 20}, "tile": {"tile": (64, 64)}}
    for layout, shape in layouts.items():
        for codec in ("none", "lzw", "deflate", "packbits", "jpeg", "zstd"):
            path = folder / f"{codec}-{layout}.tif"
            compression = None if codec == "none" else codec
            tifffile.imwrite(path, pixels, photometric="rgb", compression=compression, metadata=None, **shape)
            yield path
    tifffile.imwrite(folder / "planes.tif", np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(folder / "predicted.tif", pixels, photometric="rgb", compression="lzw", predictor=True)
    tifffile.imwrite(folder / "turned.tif", pixels, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    tifffile.imwrite(folder / "ycbcr.tif", np.asarray(image.convert("YCbCr")), photometric="ycbcr", compression="lzw")
    described = "Aperio Image Library v12.0\n112x96 [0,0 112x96] (64x64) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"
    options = {"tile": (64, 64), "compression": "jpeg", "description": described, "metadata": None}
    tifffile.imwrite(folder / "a.svs", pixels, photometric="rgb", **options)
    yield from (folder / name for name in ("planes.tif", "predicted.tif", "turned.tif", "ycbcr.tif", "a.svs"))
    yield write_dicom(folder / "a.dcm", pixels)


def write_dicom(path: Path, pixels: Pixels) -> Path:
    """A whole slide of one level in one frame."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    made, meta, light, measures, shared = Dataset(), FileMetaDataset(), Dataset(), Dataset(), Dataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID = made.StudyInstanceUID = made.FrameOfReferenceUID = generate_uid()
    made.Modality, made.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.Rows, made.Columns, made.NumberOfFrames = pixels.shape[0], pixels.shape[1], 1
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = pixels.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.DimensionOrganizationType = "TILED_FULL"
    made.TotalPixelMatrixFocalPlanes = made.NumberOfOpticalPaths = 1
    measures.PixelSpacing, shared.PixelMeasuresSequence = [0.00025] * 2, [measures]
    made.SharedFunctionalGroupsSequence, made.OpticalPathSequence = [shared], [light]
    light.OpticalPathIdentifier, light.ObjectiveLensPower = "1", 40
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB"
    made.save_as(path, enforce_file_format=True)
    return path


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a file: bytes, 16-bit numbers, a cut, a hole, a part twice; most of all in its head."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        reach = min(len(out), 700) if rng.random() < 0.6 else len(out)
        place = int(rng.integers(0, max(reach, 1)))
        kind = rng.integers(0, 10)
        if kind < 4:
            out[place : place + 1] = bytes([int(rng.integers(0, 256))])
        elif kind < 6:
            number = int(rng.choice([0, 1, 2, 3, 4, 6, 7, 8, 255, 32767, 65535]))
            out[place : place + 2] = number.to_bytes(2, str(rng.choice(["little", "big"])))  # type: ignore[arg-type]
        elif kind == 6:
            out = out[: int(rng.integers(1, len(out) + 1))]
        elif kind == 7:
            del out[place : place + int(rng.integers(1, 40))]
        else:
            out[place:place] = out[place : place + int(rng.integers(1, 40))]
        if not out:
            break
    return bytes(out)


def ours(path: Path) -> tuple[str, Pixels | None]:
    """The code of a refusal, or pixels."""
    from hema_stages.readers import open_reader
    from hema_stages.validate import Validate

    from hema_stream.core.errors import InputError
    from hema_stream.core.slide import InputImage

    try:
        slide = Validate("validate").process(InputImage("x", path), None)
        reader = open_reader(slide, "plain")
        try:
            return "read", reader.read((0, 0, slide.width, slide.height), (slide.width, slide.height), WHITE)
        finally:
            reader.close()
    except InputError as error:
        return str(error.code), None


def _pil(path: Path) -> Pixels:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _tifffile(path: Path) -> Pixels:
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as file:
        page = file.pages.first
        pixels = page.asarray()
        if int(page.photometric) not in (2, 6):
            raise ValueError("no colours")
        if int(page.photometric) == 6 and int(page.compression) != 7:
            raise ValueError("tifffile leaves YCbCr as it is")
        return np.moveaxis(pixels, 0, -1) if int(page.planarconfig) == 2 else pixels


def _opencv(path: Path) -> Pixels:
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def _pydicom(path: Path) -> Pixels:
    import pydicom

    return pydicom.dcmread(path).pixel_array


def independent(path: Path) -> Pixels | None:
    """The pixels that two readers agree on."""
    kinds: dict[str, tuple[Callable[[Path], Pixels], ...]] = {
        ".tif": (_pil, _tifffile),
        ".svs": (_pil, _tifffile),
        ".dcm": (_pydicom, _pydicom),
    }
    found = []
    for reader in kinds.get(path.suffix, (_pil, _opencv)):
        try:
            found.append(np.asarray(reader(path)))
        except Exception:  # whatever a reader says of a damaged file
            return None
    one, other = found
    alike = one.shape == other.shape and one.ndim == 3 and one.dtype == other.dtype == np.uint8
    return one if alike and _furthest(one, other) <= ALIKE else None


def _furthest(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other).max()) if one.size else 0


def judge(path: Path) -> dict[str, Any]:
    """How one file ended."""
    began, spent = time.perf_counter(), time.process_time()
    try:
        ended, pixels = ours(path)
    except MemoryError:
        ended, pixels = "memory", None  # which the runtime turns into a refusal
    except BaseException as error:
        ended, pixels = f"!{type(error).__name__}: {error}"[:200], None
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    line = {"ended": ended, "wall": wall, "cpu": cpu, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        agreed = independent(path) if pixels is not None else None
    if pixels is not None and agreed is not None:
        alike = agreed.shape == pixels.shape and _furthest(agreed, pixels) <= ALIKE
        line["compared"] = "alike" if alike else "other"
    return line


def begin() -> None:
    """Load what a worker loads, and bound its memory, as the product does."""
    import cv2
    import psutil
    from hema_stages.validate import Validate

    warnings.simplefilter("ignore")
    logging.disable()
    Validate("validate").start()
    cv2.setNumThreads(1)
    limit = psutil.Process().memory_info().vms + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Make files, judge them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="where files that were read otherwise are put")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    ends: Counter[tuple[str, str]] = Counter()
    compared: Counter[str] = Counter()
    slowest, largest, died = 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        whole = list(seeds(Path(folder)))
        datas = [path.read_bytes() for path in whole]
        pool = ProcessPoolExecutor(1, initializer=begin)
        for number in range(asked.files):
            kind = number % len(whole)
            rng = np.random.default_rng((asked.seed, number))
            path = Path(folder) / "in" / f"m{number}{whole[kind].suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(datas[kind] if number < len(whole) else mutated(datas[kind], rng))
            try:
                line = pool.submit(judge, path).result(SLOW_S)
            except BrokenProcessPool:  # the product's worker would be replaced, and the file refused
                died += 1
                line = {"ended": "worker died", "wall": 0.0, "rss": 0.0, "cpu": 0.0}
                pool = ProcessPoolExecutor(1, initializer=begin)
            ends[whole[kind].suffix, line["ended"]] += 1
            compared[line.get("compared", "")] += 1
            slowest, largest = max(slowest, line["cpu"]), max(largest, line["rss"])
            if line["ended"].startswith(("!", "worker")) or line.get("compared") == "other":
                print(number, whole[kind].name, line["ended"], line.get("compared", ""), flush=True)
                if asked.keep:
                    asked.keep.mkdir(parents=True, exist_ok=True)
                    (asked.keep / f"{number}-{whole[kind].name}").write_bytes(path.read_bytes())
            path.unlink()
        pool.shutdown()
    for (suffix, ended), count in sorted(ends.items()):
        print(f"{suffix:6s} {ended:22s} {count:6d}")
    told = {"files": asked.files, "alike": compared["alike"], "other": compared["other"], "workers died": died}
    told |= {"slowest, CPU s": round(slowest, 2), "largest, MiB": round(largest)}
    print(told)
    if asked.json:
        asked.json.write_text(json.dumps({**told, "ends": {f"{s} {e}": n for (s, e), n in ends.items()}}, indent=2))


if __name__ == "__main__":
    main()
