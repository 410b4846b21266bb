"""The parts of `run`: what is compared, how it is built, started and measured, and how it is told."""
