//! wire types of the provider protocol (v0 and v1) and of the event stream.
