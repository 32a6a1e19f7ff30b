"""Run a CellProfiler pipeline on one well after another, in CellProfiler's own environment.

`run_worker` starts this file with the Python of that environment, so it imports NumPy and
CellProfiler only. It reads one line of JSON for each well, with the file of its planes, and answers
with one line: what CellProfiler measured, or what went wrong. If the line names a file for labels,
the objects of one plane are written there, and nothing is measured. Lines that don't begin with
@answer are what CellProfiler and its libraries print by themselves.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import metadata
from typing import Any

import numpy as np

NUCLEI, MARKER, OBJECTS = "Nuclei", "Marker", "Nucleus"
MEASURED = f"Intensity_MeanIntensity_{MARKER}"


def main() -> None:
    """Answer until the other side closes its end."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(said: dict[str, Any]) -> None:
        answers.write(f"\n@answer {json.dumps(said)}\n")
        answers.flush()

    answer({"version": version()})
    try:
        load_cellprofiler()
    except Exception as error:
        answer({"error": described(error)})
        return
    gc.freeze()  # what was loaded stays, so that tidying up doesn't search it for each plane
    answer({"ready": True})
    for line in sys.stdin:
        try:
            order = json.loads(line)
            work = outline if "labels" in order else measure
            answer(work(order.pop("planes"), order))
        except Exception as error:
            answer({"error": described(error)})
        gc.collect()  # CellProfiler's parts hold each other, and each holds the planes


def load_cellprofiler() -> None:
    """Import what takes seconds, and keep it from looking for a window."""
    from cellprofiler_core.preferences import set_headless

    set_headless()
    import cellprofiler.modules.classifyobjects
    import cellprofiler.modules.identifyprimaryobjects
    import cellprofiler.modules.measureobjectintensity
    import cellprofiler.modules.measureobjectsizeshape  # noqa: F401


def version() -> str:
    """Version of CellProfiler here, or an empty text."""
    for name in ("cellprofiler-core-nightly", "cellprofiler-core", "cellprofiler"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return ""


def described(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def measure(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run the pipeline on the planes of a file, shape (1 or 2, y, x), values from 0 to 1."""
    from cellprofiler_core.pipeline.event import RunException

    failed: list[Exception] = []

    def listen(_: Any, event: Any) -> None:
        if isinstance(event, RunException):
            failed.append(event.error)

    planes = np.load(path, allow_pickle=False)
    pipeline = make_pipeline(planes, settings)
    pipeline.add_listener(listen)
    measurements = pipeline.run()
    if failed:
        raise failed[0]
    try:
        return table_row(measurements, len(planes) > 1)
    finally:
        measurements.close()


def outline(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Find the objects in the plane of a file, shape (1, y, x); write which pixel is in which."""
    from cellprofiler_core.image import Image, ImageSetList
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.object import ObjectSet
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.workspace import Workspace

    module, images, objects = identify(settings), ImageSetList(), ObjectSet()
    module.set_module_num(1)
    pipeline = Pipeline()
    pipeline.add_module(module)
    image = images.get_image_set(0)
    image.add(NUCLEI, Image(np.load(path, allow_pickle=False)[0]))
    measurements = Measurements()
    try:
        module.run(Workspace(pipeline, module, image, objects, measurements, images))
    finally:
        measurements.close()
    labels = objects.get_objects(OBJECTS).segmented
    np.save(settings["labels"], labels.astype(np.int32))
    return {"nuclei": int(labels.max())}


def table_row(measurements: Any, marker: bool) -> dict[str, Any]:
    """What is kept of the measurements of one well."""

    def of_image(name: str) -> float:
        return float(measurements.get_measurement("Image", name, 1))

    nuclei = int(of_image(f"Count_{OBJECTS}"))
    areas = measurements.get_measurement(OBJECTS, "AreaShape_Area", 1) if nuclei else []
    row: dict[str, Any] = {"nuclei": nuclei, "area": float(np.median(areas)) if nuclei else None}
    if marker:
        row["stained"] = int(of_image("Classify_stained_NumObjectsPerBin")) if nuclei else 0
        row["percent"] = of_image("Classify_stained_PctObjectsPerBin") if nuclei else None
    return row


def make_pipeline(planes: np.ndarray, settings: dict[str, Any]) -> Any:
    """The pipeline as a person would put it together in CellProfiler's window."""
    from cellprofiler.modules.measureobjectsizeshape import MeasureObjectSizeShape
    from cellprofiler_core.modules.injectimage import InjectImage
    from cellprofiler_core.pipeline import Pipeline

    names = (NUCLEI, MARKER)[: len(planes)]
    modules: list[Any] = [InjectImage(*pair) for pair in zip(names, planes, strict=True)]
    modules.append(identify(settings))

    shape = MeasureObjectSizeShape()
    shape.objects_list.value = OBJECTS
    shape.calculate_zernikes.value = False
    modules.append(shape)
    if len(planes) > 1:
        modules += intensity_and_class(settings["stained_above"])

    pipeline = Pipeline()
    for number, module in enumerate(modules, 1):
        module.set_module_num(number)
        pipeline.add_module(module)
    return pipeline


def identify(settings: dict[str, Any]) -> Any:
    """IdentifyPrimaryObjects: where the nuclei are."""
    from cellprofiler.modules.identifyprimaryobjects import IdentifyPrimaryObjects

    module = IdentifyPrimaryObjects()
    module.x_name.value = NUCLEI
    module.y_name.value = OBJECTS
    module.use_advanced.value = True
    module.size_range.value = "{},{}".format(*settings["diameter"])
    module.exclude_border_objects.value = not settings["keep_border"]
    module.unclump_method.value = settings["declump"]
    module.watershed_method.value = settings["declump"]
    module.threshold.global_operation.value = settings["threshold"]
    if lowest := settings.get("lowest_threshold"):
        module.threshold.threshold_range.value = f"{lowest:.9f},1"
    return module


def intensity_and_class(stained_above: float) -> list[Any]:
    """MeasureObjectIntensity and ClassifyObjects: which nuclei have the marker."""
    from cellprofiler.modules.classifyobjects import ClassifyObjects
    from cellprofiler.modules.measureobjectintensity import MeasureObjectIntensity

    intensity = MeasureObjectIntensity()
    intensity.images_list.value = MARKER
    intensity.objects_list.value = OBJECTS

    classify = ClassifyObjects()
    group = classify.single_measurements[0]
    group.object_name.value = OBJECTS
    group.measurement.value = MEASURED
    group.bin_choice.value = "Custom-defined bins"
    group.custom_thresholds.value = f"{stained_above:.9f}"
    group.wants_low_bin.value = False
    group.wants_high_bin.value = True
    group.wants_custom_names.value = True
    group.bin_names.value = "stained"
    return [intensity, classify]


if __name__ == "__main__":
    main()
