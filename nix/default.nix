# The Nix library of Freehold: what a deployment is written with.
#
#   { freehold, ... }:
#   freehold.lib.mkRoot {
#     modules = [ ({ providers, members, ... }: { members.id = { type = providers.local.random; inputs.bytes = 4; }; }) ];
#   }
#
# It needs no nixpkgs (see `minilib/`); where nixpkgs' `lib` is at hand, pass it here or to `mkRoot`.
# It does nothing to the world and knows nothing of the engine but the form of the export (`lib/export.nix`).
#
# Reading order: lib/root.nix → lib/component.nix → modules/component.nix (the options) → lib/export.nix.
{
  # nixpkgs' `lib`, for everything that does not pass one itself.
  lib ? null,
  # The clear value of a sensitive output's token; given by the evaluator.
  reveal ? null,
  # What the built-in providers offer; given by the evaluator, else read from `providers/*.json`.
  providers ? null,
}:
let
  moduleLib = if lib == null then import ./minilib else lib;

  builtinProviders =
    if providers != null then
      providers
    else
      {
        local = builtins.fromJSON (builtins.readFile ./providers/local.json);
        nix = builtins.fromJSON (builtins.readFile ./providers/nix.json);
        s3 = builtins.fromJSON (builtins.readFile ./providers/s3.json);
        workload = builtins.fromJSON (builtins.readFile ./providers/workload.json);
      };

  self = {
    inherit
      (import ./lib/root.nix {
        inherit moduleLib builtinProviders reveal;
        providersGiven = providers != null;
        freeholdLib = self;
      })
      mkRoot
      ;
    inherit (import ./lib/legacy.nix { freeholdLib = self; }) mkLegacyRoot mkLegacyRoots;
    inherit
      (import ./lib/docs.nix {
        inherit builtinProviders;
        lib = moduleLib;
      })
      renderOptionDocs
      renderProviderDocs
      ;
    inherit (import ./lib/sequence.nix) mkSequence;

    # Co-op Cloud apps: NixOS modules, and the same apps as data.
    inherit (import ./lib/coop-cloud.nix)
      ccApps
      ccAppSettings
      mkCcApp
      mkCoopCloud
      ;

    # reveal :: token -> value
    #
    # The clear value of a sensitive output, for code that must compute with it. What it costs: from then on the value is
    # an ordinary Nix string. It can reach a derivation, the store (which everybody on the machine can read), a trace or
    # a plan, and nothing notices. Do without where an input takes the token: the engine puts the value in itself.
    reveal =
      if reveal != null then
        reveal
      else
        _: throw "`freehold.lib.reveal` works only while Freehold evaluates a deployment";

    # The module library in use (nixpkgs' `lib` or minilib): mkOption, types, mkIf, …
    lib = moduleLib;
  };
in
{
  lib = self;
}
