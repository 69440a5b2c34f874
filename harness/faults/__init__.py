"""The catalogue of faults: one small file a fault, composed of a runtime's primitives."""
