# Nix finds the cycle: an error, not a hang.
{ eval, ... }:
eval (
  { lib, members, ... }:
  {
    members = lib.optionalAttrs (members.a.outputs.uuid == "") { a.type = "local.uuid"; };
  }
)
