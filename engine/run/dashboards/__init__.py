"""Trackers that draw curves and show answers: TensorBoard, MLflow, Weights & Biases, trackio. docs/trackers.md is for their users.

points       what a dashboard is told of a run, as (name, step, value): pure
dashboard    a tracker over a service: sends each point once, answers of each generate step, and references to models
answers      a few kept and dropped answers of a generate step
histories    services that take rows of figures, as W&B and trackio do, and what they were sent: a note in the run's folder
tensorboard  an event file in the run's own folder
events       TensorBoard's event files: records of protobufs
mlflow       a run of a tracking server
wandb        a run of Weights & Biases, online or offline
trackio      a run of trackio, on this machine or on a Space
"""
