"""Any background removed by rembg, an optional package; imported only where it is installed."""

import logging

import rembg
from PIL import Image

from gs_esd.errors import UserError

log = logging.getLogger(__name__)


class RembgCut:
    """Removes backgrounds with rembg's default network."""

    def __init__(self) -> None:
        """Load the network; rembg downloads it once.

        Raises:
            UserError: it cannot be loaded.
        """
        log.info("rembg loads its network; the first time, it downloads it")
        try:
            self._session = rembg.new_session()
        except Exception as error:  # of pooch, onnxruntime or the network connection
            raise UserError(
                f"rembg cannot load its network ({error}). Is this machine online, and is "
                "onnxruntime installed (pip install 'rembg[cpu]')? Or remove the backgrounds "
                "elsewhere, and give PNG images with alpha."
            ) from error

    def __call__(self, image: Image.Image) -> Image.Image:
        """RGBA with straight alpha, without background."""
        return rembg.remove(image.convert("RGB"), session=self._session)
