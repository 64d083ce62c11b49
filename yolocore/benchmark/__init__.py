"""What each format of a model costs: accuracy, size, milliseconds, memory, measured side by side."""
