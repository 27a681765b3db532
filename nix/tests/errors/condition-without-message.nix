{ eval, ... }:
eval {
  members.a = {
    type = "local.uuid";
    preconditions = [ { assertion = true; } ];
  };
}
