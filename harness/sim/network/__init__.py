"""The simulated network: one TCP/IP implementation for all machines of a run.

`network.py` is what the loop uses. Each machine (`machine.py`) has listeners and the ends of connections
(`transport.py`, with its `sender.py` and `receiver.py`); data moves along `paths.py` at the rates of `fair.py`, and
arrives as an event of `event_queue.py`.

These modules are one kernel: machine, network, listener, transport, sender and receiver know each other's classes, and
import them for type checking only. The others know nothing of them.
"""
