"""Training without chance: pictures are only letterboxed, or for a classifier cropped at the centre."""

_COMPOSITION = ("mosaic", "mixup", "copy_paste")
_GEOMETRY = ("degrees", "translate", "scale", "shear", "perspective", "fliplr", "flipud", "multi_scale")
_COLOUR = ("hsv_h", "hsv_s", "hsv_v", "erasing")

PLAIN = {**dict.fromkeys((*_COMPOSITION, *_GEOMETRY, *_COLOUR), 0.0), "crop": 1.0}
