"""Serving: the local Triton server, the repository of models it reads, and the server process."""
