import pytest
import torch

from gs_esd.registration.framing import fill_frame
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.search import (
    CameraSearch,
    background_features,
    pairwise_mse,
    psnr,
    render_rgba,
    silhouette_boxes,
)
from tests.helpers.turntable_photos import (
    cameras_at,
    even_azimuths,
    orbit,
    photos_of_splats,
    random_splats,
    shifted,
)


@pytest.mark.parametrize(("size", "up"), [(0.5, 0.2), (1.0, 0.0), (1.2, -0.15)])
def test_splats_of_any_size_and_height_fill_the_frame(size: float, up: float) -> None:
    around, azimuth, splats = orbit(15), even_azimuths(24), random_splats()
    cameras = cameras_at(azimuth, around, 48)
    boxes = silhouette_boxes(photos_of_splats(splats, cameras).rgba[:, 3])
    scale = 0.7 / boxes[:, 2]
    framed = shifted(cameras, -scale[:, None] * boxes[:, :2], scale)
    photos = photos_of_splats(splats, framed, framed_singly=True)

    splats["means"].data = size * splats["means"].data + torch.tensor([0.0, 0.0, up])
    splats["scales"].data += torch.tensor(size).log()
    found = CameraSearch(photos)(splats, around)
    moved, left = fill_frame(splats, found, around)
    assert abs(float(left.log_scale.mean())) < 1e-5
    assert abs(float(left.shift[:, 1].mean())) < 1e-5

    parameters = CameraParameters(left, around)
    with torch.no_grad():
        photo, shared = parameters.values(torch.arange(24))
        rgba = render_rgba(moved, parameters.cameras(photo, shared, 48))
        box = silhouette_boxes(render_rgba(moved, cameras)[:, 3]).mean(dim=0)
    mse = pairwise_mse(background_features(photos.rgba), background_features(rgba)).diagonal()
    assert psnr(mse) > 19
    assert float(box[2]) == pytest.approx(0.7, abs=0.08)
    assert abs(float(box[1])) < 0.05
