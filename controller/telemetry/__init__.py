"""Taps to MQTT, in a process of its own: status, readings, interlock state, events; STOP with an answer.

What goes out never holds an amplitude, a delivery or a participant: whoever may read the broker stays blind.
An MQTT broker is no watchdog and no safe way to stop: a STOP counts when `interlock/ack` confirms it.
"""
