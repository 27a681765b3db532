# Deployments whose cost `cost.sh` counts: `members` members of one plain definition, of which `generations` fresh applications
# of the root function list the names; with `evaluate` the last one evaluates every member as well.
{
  members,
  generations ? 1,
  evaluate ? false,
  lib ? null,
}:
let
  freehold = import ../. { inherit lib; };
  names = builtins.genList (i: "m${toString i}") members;
  # Outside of the module: not part of what is counted for a generation.
  values = builtins.listToAttrs (
    map (name: {
      inherit name;
      value = {
        type = "local.file";
        inputs = {
          path = name;
          contents = name;
        };
      };
    }) names
  );
  root = freehold.lib.mkRoot { modules = [ { members = values; } ]; };
  generation =
    _:
    root.rootFunction {
      resourceProviderSystem = "x86_64-linux";
      outputValues = { };
    };
  evaluated =
    export:
    builtins.deepSeq (builtins.mapAttrs (
      _: e: with e.resource; [
        provider
        type
        inputs
        outputsSkeleton
        state
        (e.resource.lifecycle or null)
        (e.resource.operations or null)
      ]
    ) export.members) 0;
  listed = export: builtins.length (builtins.attrNames export.members);
in
builtins.foldl' (acc: g: acc + listed (generation g)) 0 (builtins.genList (g: g) generations)
+ (if evaluate then evaluated (generation generations) else 0)
