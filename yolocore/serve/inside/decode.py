"""A Triton model that turns an encoded image (JPEG, PNG, …) into pixels for the detector behind it.

Runs inside Triton's Python backend, so it imports nothing of this project. The server's Python needs OpenCV,
which NVIDIA's container does not bring.
"""

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """`encoded` BYTES [1] → `image` UINT8 [1, H, W, 3] RGB, upright as the EXIF orientation says."""

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        content = pb_utils.get_input_tensor_by_name(request, "encoded").as_numpy()[0]
        pixels = None
        if content:
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            # An error of the client's making: 400, and not counted as the model's failure.
            message = f"encoded: {len(content)} bytes are no image, or only a part of one"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        image = pb_utils.Tensor("image", cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)[None])
        return pb_utils.InferenceResponse(output_tensors=[image])
