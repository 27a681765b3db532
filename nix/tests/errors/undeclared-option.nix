# The module system of minilib.
{ ... }:
let
  lib = import ../../minilib;
in
(lib.evalModules {
  modules = [
    { options.customers = lib.mkOption { default = { }; }; }
    {
      _file = "site.nix";
      custmers.acme = { };
    }
  ];
}).config
