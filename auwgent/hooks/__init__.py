"""The hooks a middleware may have, the `ctx` they are given, and the order in which they fire."""
