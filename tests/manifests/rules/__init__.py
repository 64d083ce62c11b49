"""What holds of all manifests beyond their schemas, as a table of rules: most of it only a real server would see.

A rule takes the documents that are applied together, and yields a line for each that breaks it.
"""

from tests.manifests.rules import operators, policy, references  # noqa: F401  they fill the table
from tests.manifests.rules.table import NAME, RULES, namespace, of_kind, pods, quantity, values

__all__ = ["NAME", "RULES", "namespace", "of_kind", "pods", "quantity", "values"]
