"""Calcium traces in NWB files that are being made."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinbergen.recordings import nwb_file as nwb
from tinbergen.recordings.series import Series

_UNKNOWN = "unknown"


def add_traces(
    file: Any, name: str, series: Series, values: np.ndarray, columns: list
) -> tuple[str, str]:
    """Add dF/F to an ``NWBFile`` as a RoiResponseSeries; return where it and its cells lie.

    NWB wants a microscope and a plane; what is not known of them is said to be unknown (NaN).

    Parameters
    ----------
    values
        ``(time, cell)``.
    columns
        Of the table of cells.
    """
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex

    ophys: Any = nwb.pynwb().ophys
    if "ophys" not in file.processing:
        module = file.create_processing_module(name="ophys", description="Calcium traces")
        module.add(ophys.DfOverF(name="DfOverF"))
        module.add(ophys.ImageSegmentation(name="ImageSegmentation"))
    traces = file.processing["ophys"]["DfOverF"]
    free = nwb.object_name(name, list(traces.roi_response_series))
    device = file.devices.get("microscope") or file.create_device(name="microscope")
    plane = file.create_imaging_plane(
        name=f"{free}_plane",
        optical_channel=ophys.OpticalChannel(
            name=f"{free}_channel", description=_UNKNOWN, emission_lambda=np.nan
        ),
        description=f"Plane of {name}",
        device=device,
        excitation_lambda=np.nan,
        indicator=_UNKNOWN,
        location=_UNKNOWN,
    )
    column: Any = VectorData
    index: Any = VectorIndex
    pixels = column(  # which pynwb asks for: none are known
        name="pixel_mask",
        description="Not known",
        data=np.zeros(0, [("x", "u4"), ("y", "u4"), ("weight", "f4")]),
    )
    ends = np.zeros(values.shape[1], np.uint8)
    columns = [*columns, pixels, index(name="pixel_mask_index", target=pixels, data=ends)]
    cells = ophys.PlaneSegmentation(
        name=f"{free}_cells",
        description="A row for each trace; their places in the image are not known",
        imaging_plane=plane,
        columns=columns,
        id=np.arange(values.shape[1]),
    )
    file.processing["ophys"]["ImageSegmentation"].add_plane_segmentation(cells)
    region: Any = DynamicTableRegion
    rows = region(
        name="rois", data=np.arange(values.shape[1]), description="All cells", table=cells
    )
    traces.add_roi_response_series(
        nwb.time_series(
            free, values, series.times, series.unit, "Relative change of fluorescence", rois=rows
        )
    )
    place = "processing/ophys"
    return f"{place}/DfOverF/{free}", f"{place}/ImageSegmentation/{cells.name}"
