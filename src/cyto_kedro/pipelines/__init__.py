"""Layer 3: pipelines lift algorithms over partitions."""
