{ eval, ... }:
eval {
  members.a = {
    type = "local.uuid";
    operations.go.description = "Goes.";
  };
}
