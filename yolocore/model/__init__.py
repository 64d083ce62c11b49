"""YOLO11 in PyTorch: the network, its box decoding, and the files that hold its weights."""
