"""Checks of the models that a configuration names: there, complete, and of a usable kind.

Models that are only on the Hub are downloaded here, before anything else. Imports no torch.
"""

from gs_esd.config.learned import AnyLoraVariationalConfig, DiffusersPriorConfig
from gs_esd.config.options import VariationalConfig
from gs_esd.errors import UserError
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.hub.image_size import pixels_a_side
from gs_esd.priors.hub.supported import is_flow

SHARED_SETTINGS = ("in_channels", "cross_attention_dim")
"""In which a LoRA's U-Net must agree with the prior's: both get the same x_t and text."""


def check_models(prior: DiffusersPriorConfig, variational: VariationalConfig) -> None:
    """Find the prior's model, and that of a LoRA with a base of its own; check their kinds.

    Raises:
        UserError: a model is not there, not complete, or not of a kind that can be used.
    """
    of_prior = find_model(prior.path, prior.revision or None)
    pixels_a_side(of_prior, prior.image_size)
    if not isinstance(variational, AnyLoraVariationalConfig):
        return
    _check_has_unet(of_prior)
    if variational.base_path:
        own = find_model(variational.base_path, variational.base_revision or None)
        _check_has_unet(own)
        _check_fits(own, of_prior)


def _check_has_unet(files: ModelFiles) -> None:
    if is_flow(files):
        raise UserError(
            f"variational=lora adapts a U-Net, and {files.folder} has a transformer. Use "
            "variational=closed_form, or a model with a U-Net, such as Stable Diffusion 2.1"
        )


def _check_fits(own: ModelFiles, of_prior: ModelFiles) -> None:
    for key in SHARED_SETTINGS:
        a, b = own.config("unet").get(key), of_prior.config("unet").get(key)
        if a != b:
            raise UserError(
                f"variational.base_path={own.folder} does not go with the prior {of_prior.folder}: "
                f"its U-Net has {key}={a}, the prior's {b}. Leave variational.base_path out, or "
                "name a model of the prior's family"
            )
