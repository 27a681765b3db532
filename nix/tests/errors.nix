# One failing thing of `errors/`: `{ freehold; eval; }: value`, where `eval` makes the export of a deployment of one module.
{ name, lib }:
let
  freehold = import ../. {
    inherit lib;
    providers = import ./fixtures/providers.nix;
  };
  harness = import ./harness.nix { lib = freehold.lib.lib; };
in
import (./errors + "/${name}.nix") {
  inherit freehold;
  inherit (freehold.lib) lib;
  eval =
    module:
    let
      show =
        e:
        if e ? resource then
          builtins.deepSeq [
            e.resource.provider
            e.resource.type
            e.resource.inputs
            e.resource
          ] 1
        else
          builtins.deepSeq (builtins.mapAttrs (_: show) e.members) e;
    in
    show (harness.evalRoot { root = freehold.lib.mkRoot { modules = [ module ]; }; });
}
