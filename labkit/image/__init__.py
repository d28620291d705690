"""Pictures: to tensors and back, inside specs, on sheets, and in PNGs that know how they were made."""

from labkit.image.chunks import ImageError
from labkit.image.convert import open_upload, psnr, to_pil, to_rgb, to_tensor
from labkit.image.inputs import ImageInput
from labkit.image.recipe import differences, environment, read_recipe, save_png
from labkit.image.sheet import contact_sheet, grid, strip

__all__ = [
    "ImageError", "ImageInput", "contact_sheet", "differences", "environment", "grid", "open_upload", "psnr",
    "read_recipe", "save_png", "strip", "to_pil", "to_rgb", "to_tensor",
]  # fmt: skip
