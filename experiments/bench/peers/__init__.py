"""Other libraries on the same work, each in the way that is fast for it: `make(task)`, `NEEDS`."""
