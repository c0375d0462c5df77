"""What the deployment costs and how far it scales, on paper: `python -m infra.capacity`.

Prices and limits are constants with their sources; sizes and durations are those of this project, held by tests; how
many steps an execution takes is counted from the definitions themselves. docs/cost.md and docs/scale.md are written
by it. It stands beside the stacks, since it describes what they deploy and reads the settings they are made of.
"""
