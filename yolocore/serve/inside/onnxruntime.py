"""A stand-in for Triton's onnxruntime backend, for servers whose build doesn't carry it.

Runs inside Triton's Python backend, so it imports nothing of this project. It refuses what the C++
backend refuses when a model loads (number, names, datatypes and shapes of the tensors against the
configuration), so that a repository that loads here loads there.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

_DATATYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}


class TritonPythonModel:
    """One instance of one ONNX model."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        name = config["name"]
        file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        options = onnxruntime.SessionOptions()
        # Without a number the runtime takes a thread for every core of the machine, whatever the container allows.
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise pb_utils.TritonModelException(f"unable to load model '{name}': {error}") from None
        batched = config["max_batch_size"] > 0
        if len(config["input"]) != len(self.session.get_inputs()):
            raise pb_utils.TritonModelException(
                f"unable to load model '{name}', configuration expects {len(config['input'])} inputs, "
                f"model provides {len(self.session.get_inputs())}"
            )
        _check(name, "input", config["input"], self.session.get_inputs(), batched)
        _check(name, "output", config["output"], self.session.get_outputs(), batched)
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests):
        """Run the gathered requests as one batch; Triton gathers only requests of equal shape."""
        columns = [[pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests] for name in self.inputs]
        feed = {
            name: column[0] if len(column) == 1 else np.concatenate(column)
            for name, column in zip(self.inputs, columns, strict=True)
        }
        results = self.session.run(self.outputs, feed)
        responses, start = [], 0
        for request_input in columns[0]:
            # A model that doesn't batch gets one request at a time, and its outputs may have any first dimension.
            rows = slice(None) if len(requests) == 1 else slice(start, start + len(request_input))
            start += len(request_input)
            tensors = [pb_utils.Tensor(n, r[rows]) for n, r in zip(self.outputs, results, strict=True)]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return responses


def _check(model, kind, configured, provided, batched):
    by_name = {tensor.name: tensor for tensor in provided}
    for entry in configured:
        name, tensor = entry["name"], by_name.get(entry["name"])
        if tensor is None:
            raise pb_utils.TritonModelException(
                f"unexpected inference {kind} '{name}', allowed {kind}s are: {', '.join(sorted(by_name))}"
            )
        if _DATATYPES.get(entry["data_type"]) != tensor.type:
            raise pb_utils.TritonModelException(
                f"unable to load model '{model}', configuration expects datatype {entry['data_type']} "
                f"for {kind} '{name}', model provides {tensor.type}"
            )
        dims = [int(d) for d in (entry["reshape"]["shape"] if "reshape" in entry else entry["dims"])]
        expected = [-1, *dims] if batched else dims
        actual = [d if isinstance(d, int) else -1 for d in tensor.shape]
        # An output must be described exactly. An input may be narrower than what the model takes.
        fits = len(expected) == len(actual) and all(
            e == a or (kind == "input" and a == -1) for e, a in zip(expected, actual, strict=True)
        )
        if not fits or (batched and actual[0] != -1):
            raise pb_utils.TritonModelException(
                f"model '{model}', tensor '{name}': the model expects {len(actual)} dimensions (shape {actual}) "
                f"but the model configuration specifies {len(expected)} dimensions (shape {expected})"
            )
