"""Camera models that are tried on photographs: which, and the options they give."""

import math
from dataclasses import replace

import pytest

from gs_esd.config.options import CamerasConfig, Config
from gs_esd.registration.portfolio import CameraModel, camera_models, further_models

MODEL = CameraModel(10.0, 10.0, 22.0)


def test_object_keeps_its_size() -> None:
    usual = CamerasConfig()
    cameras = MODEL.cameras(usual, 0.6)
    sizes = [c.distance * math.tan(math.radians(c.fov_deg) / 2) for c in (usual, cameras)]
    assert sizes[0] == pytest.approx(sizes[1])
    assert (cameras.elevation_min_deg, cameras.elevation_max_deg) == (10, 10)


def test_silhouette_height_only_by_silhouette() -> None:
    assert MODEL.cameras(CamerasConfig(), 0.6).silhouette_height == 0
    framed = replace(MODEL, by_silhouette=True)
    assert framed.cameras(CamerasConfig(), 0.6).silhouette_height == 0.6


def test_photographs_framed_singly_get_one_model_more() -> None:
    together, singly = (camera_models(Config(), framed) for framed in (False, True))
    assert set(together) < set(singly)
    assert [model.by_silhouette for model in singly if model not in together] == [True]
    assert not any(model.by_silhouette for model in together)


def test_elevations_and_lenses_are_all_paired() -> None:
    models = camera_models(Config(), framed_singly=False)
    assert len({(m.elevation_min_deg, m.fov_deg) for m in models}) == len(models) == 4
    assert all(m.elevation_min_deg == m.elevation_max_deg for m in models)


def test_chosen_cameras_are_the_only_model() -> None:
    config = Config(cameras=CamerasConfig(elevation_min_deg=5, elevation_max_deg=25))
    (model,) = camera_models(config, framed_singly=False)
    assert (model.elevation_min_deg, model.elevation_max_deg, model.fov_deg) == (5, 25, 40)
    further = further_models((model,), model, config)
    assert {replace(each, seed=0) for each in further} == {model}


def test_further_models_are_new() -> None:
    tried = camera_models(Config(), framed_singly=True)
    further = further_models(tried, tried[-1], Config())
    assert not set(further) & set(tried)
    assert any(m.elevation_min_deg < m.elevation_max_deg for m in further)


def test_names_differ() -> None:
    tried = camera_models(Config(), framed_singly=True)
    models = [*tried, *further_models(tried, tried[0], Config())]
    assert len({model.name for model in models}) == len(models)
