"""M2IB: how little of the input will do."""
