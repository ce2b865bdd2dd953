"""Other libraries on the same tasks, each in its fast form: `make(task)`, `NEEDS`."""
