"""What a traced program tells: its layers' outputs, its FLOPs, its receptive fields, its NaNs."""
