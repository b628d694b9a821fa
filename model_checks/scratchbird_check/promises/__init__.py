"""What a setting of N, W and R promises: the guarantees table, each cell with its evidence."""
