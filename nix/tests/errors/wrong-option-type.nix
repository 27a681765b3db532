# The module system of minilib.
{ ... }:
let
  lib = import ../../minilib;
in
(lib.evalModules {
  modules = [
    { options.port = lib.mkOption { type = lib.types.port; }; }
    {
      _file = "site.nix";
      port = "80";
    }
  ];
}).config.port
