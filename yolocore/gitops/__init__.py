"""The cluster's side of a promotion: the commit that names a model, and the pod that fetches the model it names."""
