"""KL warm-up: the weight of the KL grows from 0 while training begins."""


def kl_weight(beta: float, step: int, warmup: int) -> float:
    """β_t = β · min(1, (t − 1)/N) at step t = 1, 2, …, with N = ``warmup``  (E54).

    The first step has none of it, step N + 1 and all later ones have all of it; with N = 0 every
    step has. Bowman et al. 2016; Sønderby et al. 2016.
    """
    return beta * min(1.0, (step - 1) / warmup) if warmup else beta
