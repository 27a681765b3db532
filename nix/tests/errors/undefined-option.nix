# The module system of minilib.
{ ... }:
let
  lib = import ../../minilib;
in
(lib.evalModules { modules = [ { options.port = lib.mkOption { type = lib.types.port; }; } ]; }).config.port
