{ eval, ... }:
eval {
  members.page = {
    type = "local.uuid";
    lifecycle.protekt = true;
  };
}
