"""Small plates, written to a folder with zarr-python alone: OME-Zarr 0.4 or 0.5, and older ones."""

import zarr

from support.images import axes, halve, noise, scales, write_json, write_v2

ROWS, COLUMNS = "ABC", ("01", "02", "03", "04")


def write_group(folder, attributes, zarr_format=2):
    """Write the metadata of a group."""
    if zarr_format == 2:
        write_json(folder / ".zgroup", {"zarr_format": 2})
        write_json(folder / ".zattrs", attributes)
    else:
        inside = {"ome": {"version": "0.5"} | attributes}
        document = {"zarr_format": 3, "node_type": "group", "attributes": inside}
        write_json(folder / "zarr.json", document)


def write_image(folder, pixels, zarr_format=2, names="cyx", times=1, **more):
    """Write an image of two levels, or of `times` + 1."""
    levels = halve(pixels, times)
    sizes = [[2.0**n if name in "yx" else 1.0 for name in names] for n in range(times + 1)]
    multiscale = {"axes": axes(names), "datasets": scales(*sizes)} | more
    if zarr_format == 2:
        return write_v2(folder, levels, {"version": "0.4"} | multiscale)
    for number, level in enumerate(levels):
        zarr.create_array(
            store=str(folder / str(number)),
            data=level,
            chunks=(1,) * (level.ndim - 2) + (16, 16),
            zarr_format=3,
        )
    listed = [{"path": str(n)} | each for n, each in enumerate(multiscale["datasets"])]
    write_group(folder, {"multiscales": [multiscale | {"datasets": listed}]}, 3)
    return folder


def write_well(folder, fields, zarr_format=2, acquisitions=()):
    """Write a well with an image for each array of pixels."""
    images = [{"path": str(number)} for number in range(len(fields))]
    for image, acquisition in zip(images, acquisitions, strict=False):
        image["acquisition"] = acquisition
    write_group(folder, {"well": {"images": images, "version": "0.4"}}, zarr_format)
    for number, pixels in enumerate(fields):
        write_image(folder / str(number), pixels, zarr_format)


def plate_of(names, rows=ROWS, columns=COLUMNS, **more):
    """The metadata of a plate with wells of these names, such as "B/03"."""
    listed = []
    for name in names:
        row, column = name.split("/")
        place = {"rowIndex": list(rows).index(row), "columnIndex": list(columns).index(column)}
        listed.append({"path": name} | place)
    return {
        "rows": [{"name": name} for name in rows],
        "columns": [{"name": name} for name in columns],
        "wells": listed,
        "version": "0.4",
    } | more


def write_plate(folder, wells, zarr_format=2, rounds=(), **more):
    """Write a plate: `wells` holds, for each name, a list with the pixels of each field.

    `rounds` are the acquisitions of these fields; `more` goes into the metadata of the plate.
    """
    write_group(folder, {"plate": plate_of(wells, **more)}, zarr_format)
    for name, fields in wells.items():
        write_well(folder / name, fields, zarr_format, rounds)
    return folder


def some_wells(*names, fields=1, shape=(2, 20, 24), **options):
    """Pixels for wells, all different."""
    return {
        name: [noise(*shape, seed=10 * number + field, **options) for field in range(fields)]
        for number, name in enumerate(names)
    }
