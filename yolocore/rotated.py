"""Geometry of rotated boxes on numpy arrays.

A rotated box is `xywhr`: centre x y, width, height, and the angle in radians by which its width axis is
turned clockwise (y points down) from the x axis. The same rectangle has several such forms; `regularize`
gives the one with the width not shorter than the height and the angle in [0, π).
"""
