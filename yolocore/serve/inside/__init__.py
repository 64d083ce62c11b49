"""Code that runs inside the server, in the server's own environment. Nothing of this project imports it."""
