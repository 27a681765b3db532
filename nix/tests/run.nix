# The suite of the Nix library on minilib: nix-instantiate --eval --strict nix/tests/run.nix
# → "N passed, 0 failed", or a throw that lists what failed. `suite.nix` takes another lib.
import ./suite.nix { }
