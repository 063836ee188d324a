"""The method: objectives.py has the equation, the others what it is evaluated on."""
