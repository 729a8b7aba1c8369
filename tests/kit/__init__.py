"""What the laws of the operations are tested with.

`strategies` draws inputs from the words of a row's domain, `slopes` differentiates numerically
with a bound on the error, and `laws` says what must hold.
"""
