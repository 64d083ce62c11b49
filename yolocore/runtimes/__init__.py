"""Things that run a model. Each module here needs its own engine; importing the package needs none."""
