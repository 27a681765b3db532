# The suite of the Nix library, as a function of the `lib` that it runs on; `run.nix` is this on minilib.
#
#   nix-instantiate --eval --strict nix/tests/suite.nix --arg lib 'import <nixpkgs/lib>'
#
# → "N passed, 0 failed", or a throw that lists what failed. A test is `{ expr; expected; }`, or `{ throws; }` for a value
# whose evaluation must end in a `throw`. The texts of errors are tested by `errors.sh`.
{
  lib ? null,
  # Names of groups to leave out: an older nixpkgs' lib lacks functions that `lib.nix` calls.
  except ? [ ],
}:
let
  freehold = import ../. { inherit lib; };
  moduleLib = freehold.lib.lib;
  harness = import ./harness.nix { lib = moduleLib; };
  args = {
    inherit freehold harness;
    lib = moduleLib;
    onMinilib = moduleLib ? isFreeholdMinilib;
  };

  groups = {
    component = import ./component.nix args;
    coopCloud = import ./coop-cloud.nix args;
    coopCloudApps = import ./coop-cloud-apps.nix args;
    dynamic = import ./dynamic.nix args;
    examples = import ./examples.nix args;
    flake = import ./flake.nix args;
    inputs = import ./inputs.nix args;
    legacy = import ./legacy.nix args;
    lib = import ./lib.nix args;
    lifecycle = import ./lifecycle.nix args;
    modules = import ./modules.nix args;
    nixops4 = import ./nixops4.nix args;
    nixos = import ./nixos.nix args;
    providers = import ./providers.nix args;
    sequence = import ./sequence.nix args;
  };

  failure =
    name: test:
    if test ? throws then
      if (builtins.tryEval (builtins.deepSeq test.throws null)).success then
        "${name}: no throw, but ${show test.throws}"
      else
        null
    else
      let
        outcome = builtins.tryEval (builtins.deepSeq test.expr test.expr);
      in
      if !outcome.success then
        "${name}: throws\n    expected ${show test.expected}"
      else if outcome.value == test.expected then
        null
      else
        "${name}:\n    got      ${show outcome.value}\n    expected ${show test.expected}";
  show = v: builtins.toJSON (harness.probe v);

  results = builtins.concatMap (
    group: map (name: failure "${group}: ${name}" groups.${group}.${name}) (builtins.attrNames groups.${group})
  ) (builtins.filter (group: !(builtins.elem group except)) (builtins.attrNames groups));
  failures = builtins.filter (r: r != null) results;
  passed = builtins.length results - builtins.length failures;
  summary = "${toString passed} passed, ${toString (builtins.length failures)} failed";
in
if failures == [ ] then
  summary
else
  throw "${summary}\n${builtins.concatStringsSep "\n" (map (f: "- ${f}") failures)}"
