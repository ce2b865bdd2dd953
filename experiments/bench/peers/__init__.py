"""The same networks, each in its framework's own fast idiom; `experiments.bench.task` says how."""
