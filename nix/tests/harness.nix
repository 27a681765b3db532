# Evaluates a root the way an engine does, without one: outputs are given as a set of known values, everything else is
# unknown (a throw), and the fixpoint is tied from the export itself as in NixOps4.
#
#   evalRoot { root; outputs = { "site.page" = { path = "x"; }; }; } → the export
{
  lib,
  system ? "x86_64-linux",
}:
let
  inherit (builtins) concatStringsSep mapAttrs;

  # Mirrors the tree of members: `outputValues.site.page.path`.
  outputsOf =
    known: path: export:
    if export ? resource then
      mapAttrs (
        name: _:
        (known.${concatStringsSep "." path} or { }).${name}
          or (throw "the output ${concatStringsSep "." path}.outputs.${name} is not known yet")
      ) export.resource.outputsSkeleton
    else
      mapAttrs (name: outputsOf known (path ++ [ name ])) export.members;

  evalRoot =
    {
      root,
      outputs ? { },
      extra ? { },
    }:
    let
      export = root.rootFunction (
        {
          resourceProviderSystem = system;
          outputValues = outputsOf outputs [ ] export;
        }
        // extra
      );
    in
    export;

  # All that can be known of an export, as plain data; `unknown` stands for what throws.
  probe =
    v:
    let
      t = builtins.tryEval v;
    in
    if !t.success then
      "«unknown»"
    else if builtins.isAttrs t.value then
      if t.value ? outPath then "«derivation»" else mapAttrs (_: probe) t.value
    else if builtins.isList t.value then
      map probe t.value
    else if builtins.isFunction t.value then
      "«function»"
    else
      t.value;
in
{
  inherit evalRoot probe;
}
