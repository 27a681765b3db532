{ eval, ... }:
eval {
  members.page = {
    type = "local.uuid";
    moved = [ { from = "old"; to = "page"; } ];
  };
}
