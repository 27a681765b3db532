//! built-in provider local: files, programs, keys and other things of this machine.
