{ eval, ... }:
eval {
  members.page = {
    type = "local.uuid";
    members.inner.type = "local.uuid";
  };
}
