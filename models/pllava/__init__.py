"""PLLaVA (arXiv 2404.16994): LLaVA with one parameter-free 3-D average pool after the projector."""
