"""Slides of several files: one slide, once, and never a file that was not submitted."""

from __future__ import annotations

import tempfile
from time import process_time

import numpy as np
import pydicom
import pytest
from hema_stages.readers import open_reader
from hema_stages.readers.probe import probe
from hema_stages.source import find_inputs
from hema_stages.validate import Validate
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from hema_stream.core.errors import InputError
from hema_stream.core.slide import InputImage

GROUND = np.full(3, 240, np.uint8)
SIDE = 256


def write_vms(folder, picture, image="img.jpg", name="a.vms"):
    """A Hamamatsu slide of one JPEG: a key file, the picture, its map and its macro."""
    folder.mkdir(exist_ok=True)
    pixels = Image.fromarray(picture[:480, :640])
    pixels.save(folder / "img.jpg", quality=95, subsampling=0, restart_marker_blocks=10)
    pixels.resize((80, 60)).save(folder / "map.jpg", quality=95, subsampling=0, restart_marker_blocks=10)
    pixels.resize((80, 60)).save(folder / "macro.jpg")
    lines = ["[Virtual Microscope Specimen]", "NoLayers=1", "NoJpegColumns=1", "NoJpegRows=1", f"ImageFile={image}"]
    lines += ["MapFile=map.jpg", "MacroImage=macro.jpg", "PhysicalWidth=160000", "PhysicalHeight=120000"]
    path = folder / name
    path.write_text("\n".join([*lines, "SourceLens=40", ""]))
    return path


def write_dicom(folder, picture, levels=2, suffix=".dcm", series=None):
    """A whole slide of one file a level, in frames of 256 pixels."""
    folder.mkdir(exist_ok=True)
    series, study, frame = series or generate_uid(), generate_uid(), generate_uid()
    paths = []
    for number in range(levels):
        pixels = picture[:: 2**number, :: 2**number]
        height, width, _ = pixels.shape
        across, down = -(-width // SIDE), -(-height // SIDE)
        padded = np.full((down * SIDE, across * SIDE, 3), 255, np.uint8)
        padded[:height, :width] = pixels
        frames = padded.reshape(down, SIDE, across, SIDE, 3).swapaxes(1, 2)
        paths.append(folder / f"level{number}{suffix}")
        dataset(frames, (width, height), number, (series, study, frame)).save_as(paths[-1], enforce_file_format=True)
    return paths


def dataset(frames, size, number, uids):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID, made.StudyInstanceUID, made.FrameOfReferenceUID = uids
    made.Modality = "SM"
    kind = ("ORIGINAL", "NONE") if number == 0 else ("DERIVED", "RESAMPLED")
    made.ImageType = [kind[0], "PRIMARY", "VOLUME", kind[1]]
    made.Rows = made.Columns = SIDE
    made.NumberOfFrames = frames.shape[0] * frames.shape[1]
    made.TotalPixelMatrixColumns, made.TotalPixelMatrixRows = size
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.DimensionOrganizationType = "TILED_FULL"
    made.TotalPixelMatrixFocalPlanes = made.NumberOfOpticalPaths = 1
    measures = Dataset()
    measures.PixelSpacing = [0.00025 * 2**number] * 2
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    light = Dataset()
    light.OpticalPathIdentifier, light.ObjectiveLensPower = "1", 40
    made.OpticalPathSequence = [light]
    made.PixelData = np.ascontiguousarray(frames).tobytes()
    made["PixelData"].VR = "OB"
    return made


def found(*places):
    images, errors = find_inputs(map(str, places), None)
    return images, [error.code for error in errors]


def code_of(path, parts=()):
    with pytest.raises(InputError) as caught:
        Validate("validate").process(InputImage("x", path, None, tuple(parts)), None)
    return caught.value.code


def pixels_of(image):
    slide = Validate("validate").process(image, None)
    reader = open_reader(slide, "plain")
    pixels = reader.read((0, 0, slide.width, slide.height), (slide.width, slide.height), GROUND)
    reader.close()
    return slide, pixels


class TestAFileThatNamesOthers:
    def test_is_one_slide_of_its_folder_and_its_parts_are_none(self, tmp_path, picture):
        write_vms(tmp_path / "slides", picture)
        Image.fromarray(picture).save(tmp_path / "slides" / "b.png")
        images, codes = found(tmp_path / "slides")
        assert ([image.id for image in images], codes) == (["a", "b"], [])
        slide, pixels = pixels_of(images[0])
        assert (slide.width, slide.height, slide.mpp) == (640, 480, 0.25)
        assert np.abs(pixels.astype(int) - picture[:480, :640]).mean() < 3

    def test_every_file_of_it_may_be_named(self, tmp_path, picture):
        write_vms(tmp_path / "slides", picture)
        (image,), codes = found(tmp_path / "slides" / "*")
        assert (image.path.name, codes) == ("a.vms", [])
        assert pixels_of(image)[0].width == 640

    def test_alone_it_is_refused_whatever_lies_beside_it(self, tmp_path, picture):
        path = write_vms(tmp_path / "slides", picture)
        (image,), _ = found(path)
        assert image.parts == ()
        assert code_of(path) == "several_files"

    @pytest.mark.parametrize("image", ["../secret/img.jpg", "{root}/secret/img.jpg", "..\\secret\\img.jpg"])
    def test_by_a_path_it_is_refused_in_a_folder_too(self, tmp_path, picture, image):
        write_vms(tmp_path / "secret", picture)
        path = write_vms(tmp_path / "slides", picture, image=image.format(root=tmp_path))
        images, codes = found(tmp_path / "slides")
        assert codes == ["several_files"]
        assert path not in [image.path for image in images]
        assert code_of(path, (tmp_path / "slides" / "map.jpg", tmp_path / "secret" / "img.jpg")) == "several_files"

    def test_that_is_a_link_out_of_the_folder_is_refused(self, tmp_path, picture):
        write_vms(tmp_path / "secret", picture)
        write_vms(tmp_path / "slides", picture)
        (tmp_path / "slides" / "img.jpg").unlink()
        (tmp_path / "slides" / "img.jpg").symlink_to(tmp_path / "secret" / "img.jpg")
        assert "several_files" in found(tmp_path / "slides")[1]

    def test_of_which_one_was_not_submitted_is_refused(self, tmp_path, picture):
        path = write_vms(tmp_path / "slides", picture)
        assert code_of(path, (path.parent / "map.jpg", path.parent / "macro.jpg")) == "several_files"

    def test_an_index_of_any_text_costs_no_time(self, tmp_path):
        (tmp_path / "a.vms").write_bytes(b"file" * 250_000)
        (tmp_path / "b.vms").write_bytes(b"ImageFile=" + b"file" * 250_000)
        (tmp_path / "c.vms").write_bytes(b"file=x\n" * 1_000_000)
        began = process_time()
        assert "several_files" in found(tmp_path)[1]
        assert process_time() - began < 5

    def test_mirax_is_held_to_the_same(self, tmp_path):
        (tmp_path / "a.mrxs").write_bytes(b"")
        inner = tmp_path / "a"
        inner.mkdir()
        (inner / "Slidedat.ini").write_text(
            "[HIERARCHICAL]\nINDEXFILE = Index.dat\n[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = x\n"
        )
        assert code_of(tmp_path / "a.mrxs") == "several_files"
        images, _ = found(tmp_path)
        assert [image.parts for image in images] == [(inner / "Slidedat.ini",)]
        assert code_of(images[0].path, images[0].parts) == "unreadable"
        (inner / "Slidedat.ini").write_text("[HIERARCHICAL]\nINDEXFILE = ../../secret\n")
        assert found(tmp_path)[1] == ["several_files"]

    def test_what_the_reader_says_of_other_files_is_not_told(self, tmp_path, picture):
        path = write_vms(tmp_path / "slides", picture)
        (tmp_path / "slides" / "img.jpg").write_bytes(b"root:x:0:0:secret")
        (image, *_), _ = found(tmp_path / "slides")
        assert image.path == path
        with pytest.raises(InputError) as caught:
            probe(image.path, image.parts)
        assert (
            str(caught.value) == f"{path}: cannot be opened [unreadable] (the file is damaged; scan or export it again)"
        )


class TestASeries:
    @pytest.mark.parametrize("suffix", [".dcm", ""])
    def test_of_a_folder_is_one_slide_with_all_levels(self, tmp_path, picture, suffix):
        write_dicom(tmp_path / "slide", picture, suffix=suffix)
        (image,), codes = found(tmp_path / "slide")
        assert (image.id, codes) == ("level0", [])
        slide, pixels = pixels_of(image)
        assert [level.width for level in slide.levels] == [900, 450]
        assert slide.mpp == pytest.approx(0.25)
        assert np.array_equal(pixels, picture)

    def test_named_file_by_file_is_one_slide(self, tmp_path, picture):
        paths = write_dicom(tmp_path / "slide", picture)
        (image,), _ = found(*reversed(paths), tmp_path / "slide")
        assert {image.path, *image.parts} == set(paths)

    def test_two_series_of_a_folder_are_two_slides(self, tmp_path, picture):
        write_dicom(tmp_path / "slide", picture, levels=1)
        write_dicom(tmp_path / "slide", picture[::-1], levels=1, suffix="b.dcm")
        images, _ = found(tmp_path / "slide")
        assert [image.path.name for image in images] == ["level0.dcm", "level0b.dcm"]
        assert np.array_equal(pixels_of(images[1])[1], picture[::-1])

    def test_submitted_alone_is_read_alone(self, tmp_path, picture):
        """What else lies in the folder of uploads is somebody else's, whatever series it says it is of."""
        series = generate_uid()
        (path,) = write_dicom(tmp_path / "uploads", picture, levels=1, series=series)
        write_dicom(tmp_path / "uploads", picture[::-1], levels=2, suffix="x.dcm", series=series)
        slide, pixels = pixels_of(InputImage("x", path))
        assert len(slide.levels) == 1
        assert np.array_equal(pixels, picture)

    def test_nothing_is_left_of_it_not_even_by_a_killed_worker(self, tmp_path, picture, monkeypatch):
        (path,) = write_dicom(tmp_path / "slide", picture, levels=1)
        temporary = tmp_path / "tmp"
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        (temporary / "hema-series-4194305-x").mkdir(parents=True)  # above any process's number
        pixels_of(InputImage("x", path))
        assert list(temporary.iterdir()) == []

    def test_other_dicom_is_refused_or_passed_over(self, tmp_path, picture):
        (path,) = write_dicom(tmp_path / "slide", picture, levels=1)
        other = pydicom.dcmread(path)
        other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        other.save_as(tmp_path / "slide" / "ct.dcm")
        other.save_as(tmp_path / "slide" / "DICOMDIR")
        images, _ = found(tmp_path / "slide")
        assert [image.path.name for image in images] == ["ct.dcm", "level0.dcm"]
        assert code_of(images[0].path) in ("unreadable", "unsupported_format")

    def test_damaged_head(self, tmp_path, picture):
        (path,) = write_dicom(tmp_path / "slide", picture, levels=1)
        path.write_bytes(path.read_bytes()[:300])
        (image,), _ = found(tmp_path / "slide")
        assert code_of(image.path) in ("unreadable", "unsupported_format")
