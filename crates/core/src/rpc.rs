//! Request ids, round-trip estimates, time-outs, hedges.
