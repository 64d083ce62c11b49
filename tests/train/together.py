"""Train as one of several processes: `torchrun --nproc-per-node=2 together.py DATA OUT SETTINGS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from yolocore.config import TrainConfig
from yolocore.errors import YoloError
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train

if __name__ == "__main__":
    data, out, model, settings = sys.argv[1:]
    torch.set_num_threads(1)
    try:
        record = train(TrainConfig(**json.loads(settings)), TrainInputs(data=data, model=model), Path(out))
    except YoloError as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(error.exit_code)
    print(record.digest(), flush=True)
