"""The ties between model, proof and code: each shows that two of them take the same steps."""
