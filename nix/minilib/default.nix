# minilib: our own small implementation of the part of the nixpkgs `lib` interface that Freehold uses and that small
# configurations commonly call. It stands in where no nixpkgs is at hand, so that a first deployment needs no download.
#
# What it is not: complete. A name of nixpkgs `lib` that is not here throws and says how to pass nixpkgs' own
# (`missing.nix`). Behaviour that two libraries could differ in is pinned by `../tests`, which run on both.
#
# Where to go next: `modules.nix` (evalModules), `types.nix`, then the plain functions in `attrsets.nix`, `lists.nix`,
# `strings.nix` and `trivial.nix`.
let
  call = file: import file lib;

  trivial = call ./trivial.nix;
  attrsets = call ./attrsets.nix;
  lists = call ./lists.nix;
  strings = call ./strings.nix;
  options = call ./options.nix;
  modules = call ./modules.nix;
  types = call ./types.nix;

  flat = trivial // attrsets // lists // strings // options // modules;

  missing = import ./missing.nix;
  stub =
    set: name:
    throw ''
      `lib.${set}${name}` is not part of Freehold's small built-in lib.
      hint: pass nixpkgs' own: `freehold.lib.mkRoot { lib = (import <nixpkgs> { }).lib; modules = [ … ]; }`,
            or with a flake: `lib = inputs.nixpkgs.lib;`'';
  stubs =
    set: names:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = stub set name;
      }) names
    );

  section = name: own: stubs "${name}." (missing.${name} or [ ]) // own;

  lib =
    stubs "" missing.top
    // flat
    // {
      inherit (builtins) dirOf;
      inherit (types) isOptionType isType mkOptionType setType defaultTypeMerge;
    }
    // {
      trivial = section "trivial" trivial;
      attrsets = section "attrsets" attrsets;
      lists = section "lists" (
        lists
        // {
          hasPrefix = prefix: xs: lists.take (builtins.length prefix) xs == prefix;
          removePrefix = prefix: lists.drop (builtins.length prefix);
        }
      );
      strings = section "strings" (
        strings
        // {
          replicate = n: s: strings.concatStrings (lists.replicate n s);
        }
      );
      options = section "options" options;
      modules = section "modules" modules;
    }
    // {
      types = section "types" types;
      isFreeholdMinilib = true;
    };
in
lib
