"""From a checkpoint to the graphs that other programs run, and the proof that they are the same model."""
