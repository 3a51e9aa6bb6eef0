"""One page that shows how a run, several runs or an ablation went."""
