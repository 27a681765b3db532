{ eval, ... }:
eval {
  members.page = {
    type = "local.file";
    contents = "c";
  };
}
