"""Ask the served model what it sees in pictures. Needs only: pip install "tritonclient[http]"

python client.py 127.0.0.1:8000 picture.jpg …
"""

import json
import sys
from pathlib import Path

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

MODEL = "detector"

client = InferenceServerClient(sys.argv[1])
parameters = client.get_model_config(MODEL)["parameters"]
labels = json.loads(parameters["yolocore"]["string_value"])["meta"]["names"]

for path in sys.argv[2:]:
    # The picture goes as it is, in any size; the server decodes it and answers in the picture's own pixels.
    encoded = InferInput("encoded", [1], "BYTES")
    encoded.set_data_from_numpy(np.array([Path(path).read_bytes()], dtype=np.object_))
    answer = client.infer(f"{MODEL}-jpeg", [encoded])
    boxes, scores, classes, count = (answer.as_numpy(name)[0] for name in ("boxes", "scores", "classes", "count"))
    for box, score, label in list(zip(boxes, scores, classes, strict=True))[: count[0]]:
        print(path, labels[label], f"{score:.2f}", *(f"{edge:.1f}" for edge in box))
